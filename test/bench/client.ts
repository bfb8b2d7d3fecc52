/** An HTTPS client that measures: kept connections, whole answers, latencies. */
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { performance } from "node:perf_hooks";
import type { Target } from "../harness/credentials.ts";

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly type?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

export interface Client {
  /** Rejects unless the answer is 2xx. */
  send(request: Request): Promise<Answer>;
  /** The answer's head; its body is the caller's to read. */
  open(request: Request): Promise<IncomingMessage>;
  close(): void;
}

export interface Load {
  readonly latenciesMs: readonly number[];
  readonly wallMs: number;
}

/** At most `connections` at once. */
export function connectClient(target: Target, connections: number): Client {
  const { host, port, ca, cert, key } = target;
  const agent = new Agent({
    host,
    port,
    ca,
    cert,
    key,
    keepAlive: true,
    maxSockets: connections,
    checkServerIdentity: () => undefined,
  });
  const open = ({ method, path, type, body, headers: more }: Request): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const headers: Record<string, string | number> = { accept: "application/json", ...more };
      if (body !== undefined) {
        headers["content-type"] = type ?? "application/json";
        headers["content-length"] = Buffer.byteLength(body);
      }
      const sent = request({ agent, host, port, method, path, headers }, resolve);
      sent.on("error", reject);
      sent.end(body);
    });
  return {
    open,
    async send(asked) {
      const response = await open(asked);
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      const answer = { status: response.statusCode ?? 0, body: Buffer.concat(chunks) };
      if (answer.status < 200 || answer.status > 299)
        throw new Error(`${asked.method} ${asked.path}: ${answer.status} ${answer.body.toString().slice(0, 500)}`);
      return answer;
    },
    close: () => agent.destroy(),
  };
}

/** `count` calls by `clients` callers, each of whom waits for one answer before it calls again. */
export async function load(clients: number, count: number, call: (index: number) => Promise<unknown>): Promise<Load> {
  const latenciesMs: number[] = [];
  let next = 0;
  const startMs = performance.now();
  const caller = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      const sentMs = performance.now();
      await call(index);
      latenciesMs.push(performance.now() - sentMs);
    }
  };
  await Promise.all(Array.from({ length: clients }, caller));
  return { latenciesMs, wallMs: performance.now() - startMs };
}
