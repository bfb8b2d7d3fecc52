/** etcd's own JSON gateway: none of our code is between the store and what is read here. */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";

/** POST of a JSON body; the answer's bytes as they come. Ends with the signal. */
export type EtcdGateway = (path: string, body: object, signal?: AbortSignal) => Promise<AsyncIterable<Uint8Array>>;

/** PEM texts. */
export interface EtcdTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const SILENCE_MS = 5_000;

/** `endpoint`: `http://…`, or `https://…` with `tls`. Whoever says nothing for five seconds is given up. */
export function gatewayAt(endpoint: string, tls?: EtcdTls): EtcdGateway {
  const send = endpoint.startsWith("https:") ? httpsRequest : httpRequest;
  return (path, body, signal) =>
    new Promise((resolve, reject) => {
      const options: RequestOptions & Partial<EtcdTls> = {
        method: "POST",
        agent: false,
        timeout: SILENCE_MS,
        ...tls,
        ...(signal ? { signal } : {}),
      };
      const outgoing = send(`${endpoint}${path}`, options, (answer: IncomingMessage) => {
        if (answer.statusCode === 200) return resolve(answer);
        answer.once("data", (said: Buffer) =>
          reject(new Error(`${endpoint}${path}: ${said.toString().slice(0, 200)}`)),
        );
        answer.once("end", () => reject(new Error(`${endpoint}${path}: ${answer.statusCode}`)));
      });
      outgoing.once("timeout", () => outgoing.destroy(new Error(`${endpoint} is silent`)));
      outgoing.on("error", reject);
      outgoing.end(JSON.stringify(body));
    });
}

export async function askEtcd<T>(gateway: EtcdGateway, path: string, body: object): Promise<T> {
  const parts: Uint8Array[] = [];
  for await (const part of await gateway(path, body)) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString()) as T;
}

/** The store's current revision, by a linearizable read. */
export async function currentRevision(gateway: EtcdGateway): Promise<number> {
  const body = { key: base64("\0"), count_only: true };
  const { header } = await askEtcd<{ readonly header: { readonly revision: string } }>(gateway, "/v3/kv/range", body);
  return Number(header.revision);
}

export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** The lines of a streamed answer. */
export async function* linesOfAnswer(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const part of body) {
    const whole = (rest + decoder.decode(part, { stream: true })).split("\n");
    rest = whole.pop() ?? "";
    yield* whole.filter((line) => line !== "");
  }
}
