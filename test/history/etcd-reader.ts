/**
 * One etcd member, read by gRPC with a certificate, as etcd's own clients do: none of our code is between the store and what is
 * read here, only etcd3's protocol definition and grpc-js.
 */
import { credentials, Metadata, type ChannelOptions, type ClientDuplexStream, type ServiceError } from "@grpc/grpc-js";
import type { Clock } from "@pilothouse/clock";
import type { IRangeRequest, IRangeResponse, IWatchCreateRequest, IWatchRequest, IWatchResponse } from "etcd3";
import { Host } from "etcd3/lib/connection-pool.js";

/** Each call has a connection of its own. Whoever says nothing for five seconds is given up. */
export interface EtcdReader {
  range(request: IRangeRequest): Promise<IRangeResponse>;
  /** Until the caller reads no more. Throws where etcd ends it, or has compacted what is asked for. */
  watch(request: IWatchCreateRequest): AsyncGenerator<IWatchResponse>;
}

/** PEM. */
export interface EtcdTls {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** A range of all keys: as its beginning, and as its end. */
export const EVERY_KEY = Buffer.from("\0");

const SILENCE_MS = 5_000;
const CHANNEL: ChannelOptions = {
  "grpc.max_receive_message_length": -1,
  "grpc.enable_retries": 0,
  // Else a call would get the connection of one that failed, and its pause before the next try.
  "grpc.use_local_subchannel_pool": 1,
};

/** As etcd's protocol has them; etcd3's own types leave out how its clients are called. */
interface Services {
  range(
    request: IRangeRequest,
    metadata: Metadata,
    options: object,
    done: (error: ServiceError | null, answer: IRangeResponse) => void,
  ): { cancel(): void };
  watch(metadata: Metadata): ClientDuplexStream<IWatchRequest, IWatchResponse>;
}

/** `endpoint`: `http://…`, or `https://…` with `tls`. */
export function etcdAt(endpoint: string, clock: Clock, tls?: EtcdTls): EtcdReader {
  const channel = tls ? credentials.createSsl(tls.ca, tls.key, tls.cert) : credentials.createInsecure();
  const dial = (): Host => new Host(endpoint, channel, CHANNEL);
  const silent = (): Error => new Error(`${endpoint} is silent`);
  return {
    async range(request) {
      const host = dial();
      const client = host.getServiceClient("KV") as unknown as Services;
      try {
        return await new Promise<IRangeResponse>((resolve, reject) => {
          const timer = clock.setTimer(SILENCE_MS, () => {
            reject(silent());
            call.cancel();
          });
          const call = client.range(request, new Metadata(), {}, (error, answer) => {
            timer.cancel();
            if (error) reject(failed(endpoint, error));
            else resolve(answer);
          });
        });
      } finally {
        host.close();
      }
    },
    async *watch(request) {
      const host = dial();
      const stream = (host.getServiceClient("Watch") as unknown as Services).watch(new Metadata());
      // It also tells of its end when nobody reads any more.
      stream.on("error", () => undefined);
      const listen = () => clock.setTimer(SILENCE_MS, () => stream.destroy(silent()));
      let timer = listen();
      try {
        stream.write({ create_request: request });
        for await (const each of stream) {
          const answer = each as IWatchResponse;
          timer.cancel();
          if (answer.canceled)
            throw new Error(`${endpoint}: ${answer.cancel_reason}, compacted to ${answer.compact_revision}`);
          yield answer;
          timer = listen();
        }
      } catch (error) {
        throw failed(endpoint, error);
      } finally {
        timer.cancel();
        stream.cancel();
        host.close();
      }
    },
  };
}

/** The store's current revision, by a linearizable read. */
export async function currentRevision(etcd: EtcdReader): Promise<number> {
  const { header } = await etcd.range({ key: EVERY_KEY, range_end: EVERY_KEY, count_only: true });
  return Number(header.revision);
}

function failed(endpoint: string, error: unknown): Error {
  const text = error instanceof Error ? error.message : String(error);
  return new Error(text.startsWith(endpoint) ? text : `${endpoint}: ${text}`, { cause: error });
}
