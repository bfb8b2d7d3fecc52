/** Recorded exchanges: a request as a client sends it, and all of the answer. */
import type { IncomingMessage } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { until } from "../harness/index.ts";
import type { Target } from "../harness/credentials.ts";

export interface Exchange {
  readonly method?: string;
  /** With query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. */
  readonly body?: Uint8Array | string | object;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  /** As often as they came. */
  readonly warnings: readonly string[];
  readonly bytes: Buffer;
  readonly text: string;
  /** The body, which must be JSON. */
  json(): unknown;
}

/** Asks with one kept-alive connection pool of its own. */
export class Asker {
  readonly #target: Target;
  readonly #agent: Agent;

  constructor(target: Target) {
    this.#target = target;
    this.#agent = new Agent({ keepAlive: true });
  }

  async ask(exchange: Exchange | string): Promise<Answer> {
    const response = await this.#send(typeof exchange === "string" ? { path: exchange } : exchange);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    const text = bytes.toString("utf8");
    const warnings = response.headersDistinct["warning"] ?? [];
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      warnings,
      bytes,
      text,
      json: (): unknown => JSON.parse(text),
    };
  }

  /** A watch whose answer has begun. */
  async watch(exchange: Exchange | string): Promise<Watching> {
    return new Watching(await this.#send(typeof exchange === "string" ? { path: exchange } : exchange));
  }

  close(): void {
    this.#agent.destroy();
  }

  #send({ method = "GET", path, headers = {}, body }: Exchange): Promise<IncomingMessage> {
    const isPlain = body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array);
    const bytes = Buffer.from(isPlain ? JSON.stringify(body) : (body ?? ""));
    const all = {
      "user-agent": "kubectl/v1.36.0 (linux/amd64) kubernetes/0000000",
      ...(isPlain ? { "content-type": "application/json" } : {}),
      ...(bytes.length > 0 ? { "content-length": String(bytes.length) } : {}),
      ...headers,
    };
    return new Promise((resolve, reject) => {
      const request = httpsRequest({ ...this.#target, agent: this.#agent, method, path, headers: all }, resolve);
      request.on("error", reject);
      request.end(bytes);
    });
  }
}

export interface WatchEvent {
  readonly type: string;
  readonly object: {
    readonly kind: string;
    readonly apiVersion: string;
    readonly metadata: {
      readonly name?: string;
      readonly resourceVersion?: string;
      readonly annotations?: Readonly<Record<string, string>>;
    };
    readonly [field: string]: unknown;
  };
}

/** The answer to a watch, event by event as JSON lines. */
export class Watching {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly events: WatchEvent[] = [];
  readonly #response: IncomingMessage;
  #rest = "";
  /** The server has ended it in order. */
  ended = false;

  constructor(response: IncomingMessage) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    response.setEncoding("utf8");
    response.on("data", (text: string) => this.#take(text));
    response.on("end", () => (this.ended = true));
    response.on("error", () => {});
  }

  /** Resolves with the first event of this type, or with the one that was there already. */
  async next(type: string, timeoutMs = 5_000): Promise<WatchEvent> {
    const find = (): WatchEvent | undefined => this.events.find((event) => event.type === type);
    await until(`a ${type} event`, () => find() !== undefined, timeoutMs);
    return find() as WatchEvent;
  }

  close(): void {
    this.#response.destroy();
  }

  #take(text: string): void {
    const lines = `${this.#rest}${text}`.split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.events.push(JSON.parse(line) as WatchEvent);
  }
}
