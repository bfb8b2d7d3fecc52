/** Long answers as gzip, for clients that take it: by upstream's threshold and level, off the main thread. */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGzip, gzip } from "node:zlib";
import type { ApiResponse } from "@pilothouse/api/http";

/** What is shorter costs more to pack than to send. */
const THRESHOLD_BYTES = 128 * 1024;
const LEVEL = { level: 1 } as const;
const packed = promisify<Uint8Array, { readonly level: number }, Buffer>(gzip);

/** As upstream reads the header: the word alone, without a quality. */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  return (acceptEncoding ?? "").split(",").some((token) => token.trim() === "gzip");
}

/** The same answer, compressed where that pays. Nothing that is sent as it comes (a watch, a log, a proxied answer) is touched. */
export async function compressed(answer: ApiResponse): Promise<ApiResponse> {
  const { headers, body, mayBeCompressed = false } = answer;
  if (headers["content-encoding"] !== undefined) return answer;
  if (body instanceof Uint8Array) {
    if (body.length <= THRESHOLD_BYTES) return answer;
    return { ...answer, headers: packedHeaders(headers), body: await packed(body, LEVEL) };
  }
  if (!mayBeCompressed) return answer;
  const { begin, rest, isLong } = await begun(body);
  if (!isLong) return { ...answer, body: begin };
  return { ...answer, headers: packedHeaders(headers), body: packedFrames(begin, rest) };
}

function packedHeaders({
  "content-length": _length,
  vary,
  ...headers
}: ApiResponse["headers"]): ApiResponse["headers"] {
  const varies = [...(vary === undefined ? [] : [vary].flat()), "Accept-Encoding"].join(", ");
  return { ...headers, "content-encoding": "gzip", vary: varies };
}

interface Begun {
  readonly begin: Uint8Array;
  readonly rest: AsyncIterator<Uint8Array>;
  /** There is more than is worth packing; else `begin` is all. */
  readonly isLong: boolean;
}

async function begun(body: AsyncIterable<Uint8Array>): Promise<Begun> {
  const rest = body[Symbol.asyncIterator]();
  const taken: Uint8Array[] = [];
  let bytes = 0;
  while (bytes <= THRESHOLD_BYTES) {
    const next = await rest.next();
    if (next.done) return { begin: Buffer.concat(taken), rest, isLong: false };
    taken.push(next.value);
    bytes += next.value.length;
  }
  return { begin: Buffer.concat(taken), rest, isLong: true };
}

/** Whoever stops reading ends the body too. */
async function* packedFrames(begin: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  const packer = createGzip(LEVEL);
  const fed = pipeline(Readable.from(all(begin, rest), { objectMode: false }), packer);
  fed.catch(() => undefined);
  try {
    for await (const chunk of packer) yield chunk as Uint8Array;
    await fed;
  } finally {
    packer.destroy();
  }
}

async function* all(begin: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield begin;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}
