/** A connection to one endpoint: etcd3's `Host` with the options that etcd3 leaves out, and calls that always end. */
import { Metadata, connectivityState, credentials } from "@grpc/grpc-js";
import type {
  ChannelCredentials,
  ChannelOptions,
  ClientDuplexStream,
  ServiceError,
  requestCallback,
} from "@grpc/grpc-js";
import { abortReason } from "@pilothouse/clock";
import type { Clock } from "@pilothouse/clock";
import { StoreUnavailable } from "@pilothouse/store";
import { Host } from "etcd3/lib/connection-pool.js";
import { storeError } from "./errors.ts";

export interface TlsFiles {
  /** PEM. */
  readonly ca: Uint8Array;
  readonly cert: Uint8Array;
  readonly key: Uint8Array;
}

export type ServiceName = "KV" | "Lease" | "Watch" | "Cluster" | "Maintenance";

export interface UnaryCall {
  readonly service: ServiceName;
  readonly method: string;
  readonly request: object;
  /** The member may answer without knowing a leader. */
  readonly leaderless?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * What a member may send before we have read it. HTTP/2's own 64 kB is six objects of 10 kB for each turn of the event loop:
 * under load the watch then falls behind by seconds, and with it everything that starts from the cache.
 */
const flowControlWindowBytes = 8 * 2 ** 20;

/**
 * Etcd ends connections that ping more often than every 5 s, or at all while no call is open: hence no
 * `keepalive_permit_without_calls`. The receive limit is far above twice etcd's request limit of 1.5 MiB (C4), because a page
 * of large objects comes in one message.
 */
const channelOptions: ChannelOptions = {
  "grpc.keepalive_time_ms": 6_000,
  "grpc.keepalive_timeout_ms": 3_000,
  "grpc.max_receive_message_length": 64 * 2 ** 20,
  "grpc.max_send_message_length": -1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  "grpc.enable_retries": 0,
  "grpc-node.flow_control_window": flowControlWindowBytes,
  // A connection for each `Host`: else a new one would get the old, frozen connection back from the pool.
  "grpc.use_local_subchannel_pool": 1,
};

export function channelCredentials(tls: TlsFiles | undefined): ChannelCredentials {
  if (!tls) return credentials.createInsecure();
  return credentials.createSsl(Buffer.from(tls.ca), Buffer.from(tls.key), Buffer.from(tls.cert));
}

type UnaryMethod = (
  request: object,
  metadata: Metadata,
  options: object,
  callback: requestCallback<unknown>,
) => { cancel(): void };

type StreamMethod = (metadata: Metadata) => ClientDuplexStream<object, unknown>;

export class Connection {
  readonly #host: Host;
  readonly #clock: Clock;

  constructor(endpoint: string, channel: ChannelCredentials, clock: Clock) {
    this.#host = new Host(endpoint, channel, channelOptions);
    this.#clock = clock;
  }

  /** Resolves when a request can be sent; else throws `StoreUnavailable` with outcome "none". */
  async ready(service: ServiceName, deadlineMs: number): Promise<void> {
    const channel = this.#client(service).getChannel();
    if (channel.getConnectivityState(true) === connectivityState.READY) return;
    await new Promise<void>((resolve, reject) => {
      const refuse = (why: string): void => {
        timer.cancel();
        reject(new StoreUnavailable(`etcd: ${channel.getTarget()}: ${why}`, "none"));
      };
      const timer = this.#clock.setTimer(deadlineMs, () => refuse(`no connection within ${Math.round(deadlineMs)} ms`));
      const look = (): void => {
        const state = channel.getConnectivityState(true);
        if (state === connectivityState.TRANSIENT_FAILURE) refuse("no connection");
        else if (state === connectivityState.SHUTDOWN) refuse("closed");
        else if (state !== connectivityState.READY) channel.watchConnectivityState(state, Infinity, look);
        else {
          timer.cancel();
          resolve();
        }
      };
      look();
    });
  }

  /** Calls, and settles within the deadline. The answer's type is the caller's word: etcd3's types describe the protocol. */
  unary<Answer>(call: UnaryCall, deadlineMs: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (call.signal?.aborted) {
        reject(abortReason(call.signal));
        return;
      }
      const metadata = call.leaderless ? new Metadata() : leaderMetadata();
      const client = this.#client(call.service);
      const method = (client as unknown as Record<string, UnaryMethod>)[call.method] as UnaryMethod;
      const settle = (): void => {
        timer.cancel();
        call.signal?.removeEventListener("abort", abort);
      };
      // Before anything that ends it is armed: what cannot be begun needs no end.
      const running = method.call(
        client,
        call.request,
        metadata,
        {},
        (error: ServiceError | null, answer?: unknown) => {
          settle();
          if (error) reject(storeError(error));
          else resolve(answer as Answer);
        },
      );
      const timer = this.#clock.setTimer(deadlineMs, () => {
        settle();
        reject(new StoreUnavailable(`etcd: ${call.method}: no answer within ${Math.round(deadlineMs)} ms`, "unknown"));
        running.cancel();
      });
      const abort = (): void => {
        settle();
        reject(abortReason(call.signal as AbortSignal));
        running.cancel();
      };
      call.signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Opens a stream, which the caller ends. */
  stream<Request extends object, Answer>(service: ServiceName, name: string): ClientDuplexStream<Request, Answer> {
    const client = this.#client(service);
    const method = (client as unknown as Record<string, StreamMethod>)[name] as StreamMethod;
    return method.call(client, leaderMetadata()) as ClientDuplexStream<Request, Answer>;
  }

  /** Calls under way may still end well; there are no new ones. */
  close(): void {
    this.#host.close();
  }

  /** Another call's failure may have closed this connection since it was chosen: then surely nothing is sent. */
  #client(service: ServiceName): ReturnType<Host["getServiceClient"]> {
    try {
      return this.#host.getServiceClient(service);
    } catch (error) {
      throw new StoreUnavailable("etcd: the connection was closed", "none", { cause: error });
    }
  }
}

/** Makes a member without a quorum answer with an error at once, instead of staying silent (C4). */
function leaderMetadata(): Metadata {
  const metadata = new Metadata();
  metadata.set("hasleader", "true");
  return metadata;
}
