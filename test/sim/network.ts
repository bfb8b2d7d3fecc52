/** The wires between processes: requests to apiservers with their streams, and the bus. Faults decide what arrives. */
import type { ApiRequest, ApiResponse } from "@pilothouse/api/http";
import type { Bus, BusHeaders, BusMessage, BusSubscription } from "@pilothouse/bus";
import { isPattern, isPublishable, messageBytes, subjectMatches } from "@pilothouse/bus/subject";
import { Unreachable, type Transport, type TransportRequest, type TransportResponse } from "@pilothouse/client";
import { abortReason, DeadlineExceeded } from "@pilothouse/clock";
import type { Faults, RequestFate } from "./faults.ts";
import { Line, type Life } from "./machine.ts";
import { inContext } from "./traps.ts";
import type { World } from "./world.ts";

/** What answers requests: a process that may be up or not. */
export interface Server {
  readonly name: string;
  /** Undefined while nobody listens. */
  listening(): { readonly life: Life; readonly handle: (request: ApiRequest) => Promise<ApiResponse> } | undefined;
}

export interface Identity {
  readonly user: string;
  readonly groups: readonly string[];
}

const REQUEST_DEADLINE_MS = 10_000;
const RESET_MS = 1;

/** Requests of one life to one server, by direct calls with the network's misfortunes in between. */
export function simulatedTransport(
  world: World,
  faults: Faults,
  client: Life,
  server: Server,
  identity: Identity,
): Transport {
  return {
    endpoint: server.name,
    send: (request) =>
      new Exchange(world, faults.request(client.machine.name, server.name, request.path), client, server).send(
        request,
        identity,
      ),
    close: () => Promise.resolve(),
  };
}

/** One request, its answer, and the stream that may follow. */
class Exchange {
  readonly #world: World;
  readonly #fate: RequestFate;
  readonly #client: Life;
  readonly #server: Server;
  readonly #gone = new AbortController();
  readonly #body: Pipe;
  readonly #toClient: Line;
  #endings: (() => void)[] = [];
  #settled = false;
  #over = false;

  constructor(world: World, fate: RequestFate, client: Life, server: Server) {
    this.#world = world;
    this.#fate = fate;
    this.#client = client;
    this.#server = server;
    this.#toClient = new Line(world);
    this.#body = new Pipe(() => this.#hangUp());
  }

  send(request: TransportRequest, identity: Identity): Promise<TransportResponse> {
    return new Promise((resolve, reject) => {
      if (!this.#client.alive) return;
      const { signal, deadlineMs = REQUEST_DEADLINE_MS } = request;
      const op = `${request.method} ${request.path}`;
      const settle = (finish: () => void): void => {
        if (this.#settled) return;
        this.#settled = true;
        deadline.cancel();
        finish();
      };
      const deadline = this.#client.after(deadlineMs, `no answer: ${op}`, () => {
        settle(() => reject(new DeadlineExceeded(`${op} at ${this.#server.name}`, deadlineMs)));
        this.#hangUp();
      });
      const abort = (): void => {
        settle(() => reject(abortReason(signal as AbortSignal)));
        this.#body.fail(abortReason(signal as AbortSignal));
        this.#hangUp();
      };
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort, { once: true });
      this.#endings.push(() => signal?.removeEventListener("abort", abort));
      this.#endings.push(this.#client.onEnd(() => this.#hangUp()));
      if (this.#fate.requestLost) return;
      this.#world.at(this.#fate.outMs, `${this.#client.name} → ${this.#server.name} ${op}`, () => {
        const listening = this.#server.listening();
        if (!listening) {
          const refused = new Unreachable(this.#server.name, new Error("connection refused"));
          this.#client.after(this.#fate.backMs, `refused: ${op}`, () => settle(() => reject(refused)));
          return;
        }
        const { life, handle } = listening;
        const reset = (): void => {
          this.#client.after(RESET_MS, `reset: ${op}`, () => {
            settle(() => reject(new Error("socket hang up")));
            this.#body.fail(new Error("connection reset"));
          });
        };
        this.#endings.push(life.onEnd(reset));
        const answered = (response: TransportResponse): void => settle(() => resolve(response));
        life.run(() => void this.#serve(life, handle, request, identity, answered));
      });
    });
  }

  /** On the server, in its own context; ends silently with its life. */
  async #serve(
    life: Life,
    handle: (request: ApiRequest) => Promise<ApiResponse>,
    request: TransportRequest,
    identity: Identity,
    answered: (response: TransportResponse) => void,
  ): Promise<void> {
    const op = `${request.method} ${request.path}`;
    const fence = request.headers["pilothouse-fence"];
    const client = this.#client.machine.name;
    const cause = { client, user: identity.user, method: request.method, path: request.path, fence };
    const response = await inContext({ life: life.name, cause }, () =>
      handle(serverRequest(request, identity, this.#gone.signal)),
    );
    if (!life.alive) return;
    if (this.#fate.replyLost) return this.#dropReply(response);
    const { status } = response;
    const headers = Object.fromEntries(
      Object.entries(response.headers).map(([name, value]) => [
        name,
        typeof value === "string" ? value : value.join(", "),
      ]),
    );
    this.#deliver(`${status} ${op}`, () => answered({ status, headers, body: this.#body }));
    if (response.body instanceof Uint8Array) {
      const bytes = response.body;
      this.#body.push(bytes);
      this.#body.end();
      this.#unhook();
      return;
    }
    await this.#stream(life, op, response.body);
  }

  async #stream(life: Life, op: string, body: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of body) {
      if (!life.alive || this.#gone.signal.aborted) break;
      const fate = this.#fate.chunk();
      if (fate === "cut") {
        this.#deliver(`cut: ${op}`, () => this.#body.fail(new Error("connection reset")));
        this.#hangUp();
        return;
      }
      // Nothing comes through any more, and nobody is told: the reader must notice by itself.
      if (fate === "silent") return this.#tellServer();
      this.#deliver(`${chunk.length} bytes of ${op}`, () => this.#body.push(chunk));
    }
    if (life.alive) this.#deliver(`end of ${op}`, () => this.#body.end());
    this.#unhook();
  }

  #dropReply(response: ApiResponse): void {
    this.#hangUp();
    if (!(response.body instanceof Uint8Array)) void response.body[Symbol.asyncIterator]().return?.();
  }

  #deliver(what: string, run: () => void): void {
    this.#toClient.push(this.#fate.chunkMs(), `${this.#client.name} ← ${what}`, () => this.#client.run(run));
  }

  /** The client has gone: the server learns it a little later. */
  #hangUp(): void {
    if (this.#over) return;
    this.#unhook();
    this.#tellServer();
  }

  #tellServer(): void {
    const server = this.#server.listening();
    const abort = (): void => this.#gone.abort(new Error("the client has gone"));
    if (server) server.life.after(RESET_MS, "client gone", abort);
  }

  #unhook(): void {
    this.#over = true;
    for (const end of this.#endings.splice(0)) end();
  }
}

function serverRequest(request: TransportRequest, { user, groups }: Identity, signal: AbortSignal): ApiRequest {
  const [path = "", query = ""] = request.path.split("?");
  return {
    method: request.method,
    path,
    query: new URLSearchParams(query),
    headers: request.headers,
    body: request.body ?? new Uint8Array(),
    peer: { address: "198.51.100.1", certificate: { commonName: user, organizations: groups } },
    signal,
  };
}

/** Bytes on their way to one reader. */
class Pipe implements AsyncIterable<Uint8Array> {
  readonly #chunks: Uint8Array[] = [];
  readonly #onLeave: () => void;
  #wake: (() => void) | undefined;
  #end: { readonly error: Error | undefined } | undefined;

  constructor(onLeave: () => void) {
    this.#onLeave = onLeave;
  }

  push(chunk: Uint8Array): void {
    if (this.#end) return;
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  end(): void {
    this.#end ??= { error: undefined };
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#chunks.shift();
        if (chunk) yield chunk;
        else if (this.#end?.error) throw this.#end.error;
        else if (this.#end) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.#onLeave();
    }
  }
}

interface Subscriber {
  readonly pattern: string;
  readonly life: Life;
  readonly handle: (message: BusMessage) => void;
  readonly line: Line;
  live: boolean;
}

/** One bus for all: core NATS at its worst, as far as the faults go. */
export class SimulatedBus {
  readonly #world: World;
  readonly #faults: Faults;
  readonly #statusListeners = new Set<(connected: boolean) => void>();
  readonly #exact = new Map<string, Set<Subscriber>>();
  readonly #patterns = new Set<Subscriber>();

  #up = true;

  constructor(world: World, faults: Faults) {
    this.#world = world;
    this.#faults = faults;
  }

  /** Stops or starts the bus for everybody; all connections notice at once. */
  setUp(up: boolean): void {
    this.#up = up;
    for (const notify of this.#statusListeners) notify(up);
  }

  connect(life: Life): Bus {
    return {
      maxPayloadBytes: 2 ** 20,
      publish: (subject, payload, headers = {}) => this.#publish(life, subject, payload, headers),
      subscribe: (pattern, handle) => this.#subscribe(life, pattern, handle),
      connected: () => this.#up,
      onStatus: (notify) => {
        const listener = (connected: boolean): void => life.run(() => notify(connected));
        this.#statusListeners.add(listener);
        const end = (): void => void this.#statusListeners.delete(listener);
        const forget = life.onEnd(end);
        return () => {
          forget();
          end();
        };
      },
      close: () => Promise.resolve(),
    };
  }

  #publish(life: Life, subject: string, payload: Uint8Array, headers: BusHeaders): boolean {
    if (!life.alive || !this.#up || !isPublishable(subject) || messageBytes(payload, headers) > 2 ** 20) return false;
    const message: BusMessage = { subject, headers: { ...headers }, payload };
    const patterns = [...this.#patterns].filter(({ pattern }) => subjectMatches(pattern, subject));
    for (const subscriber of [...(this.#exact.get(subject) ?? []), ...patterns]) this.#carry(life, subscriber, message);
    return true;
  }

  #carry(from: Life, subscriber: Subscriber, message: BusMessage): void {
    const { life, line } = subscriber;
    const hear = (): void =>
      life.run(() => {
        if (subscriber.live) subscriber.handle(message);
      });
    const what = `${life.name} hears ${message.subject} ${message.headers["Ph-Revision"] ?? ""}`;
    for (const { delayMs, inOrder } of this.#faults.message(from.machine.name, life.machine.name, message.subject)) {
      if (inOrder) line.push(delayMs, what, hear);
      else this.#world.at(delayMs, what, hear);
    }
  }

  #subscribe(life: Life, pattern: string, handle: (message: BusMessage) => void): BusSubscription {
    if (!isPattern(pattern)) throw new RangeError(`not a bus subject: ${JSON.stringify(pattern)}`);
    const subscriber: Subscriber = { pattern, life, handle, line: new Line(this.#world), live: true };
    const isExact = !/[*>]/.test(pattern);
    let group = this.#patterns;
    if (isExact) {
      group = this.#exact.get(pattern) ?? new Set();
      this.#exact.set(pattern, group);
    }
    const end = (): void => {
      subscriber.live = false;
      group.delete(subscriber);
    };
    const forget = life.onEnd(end);
    // The servers of a bus do not all know of a subscription at once.
    this.#world.at(this.#faults.subscribeMs(), `${life.name} subscribed to ${pattern}`, () => {
      if (subscriber.live) group.add(subscriber);
    });
    return {
      unsubscribe: () => {
        forget();
        end();
      },
    };
  }
}
