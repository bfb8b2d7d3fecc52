import { gunzipSync } from "node:zlib";
import type { ApiResponse } from "@pilothouse/api/http";
import { describe, expect, it } from "vitest";
import { acceptsGzip, compressed } from "./compress.ts";

const LONG = Buffer.from(JSON.stringify(Array.from({ length: 40_000 }, (_, index) => ({ index }))));
const answer = (body: ApiResponse["body"], more: Partial<ApiResponse> = {}): ApiResponse => ({
  status: 200,
  headers: { "content-type": "application/json", "content-length": "1", vary: "Accept" },
  body,
  ...more,
});

/** In pieces of 10 kB; `ended` tells when nobody asks for more. */
async function* pieces(bytes: Uint8Array, ended: () => void = () => undefined): AsyncGenerator<Uint8Array> {
  try {
    for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
  } finally {
    ended();
  }
}

async function bytesOf({ body }: ApiResponse): Promise<Buffer> {
  if (body instanceof Uint8Array) return Buffer.from(body);
  const all: Uint8Array[] = [];
  for await (const chunk of body) all.push(chunk);
  return Buffer.concat(all);
}

const PACKED = { "content-type": "application/json", "content-encoding": "gzip", vary: "Accept, Accept-Encoding" };

describe("a long answer", () => {
  it.each<[string, () => ApiResponse]>([
    ["of bytes", () => answer(LONG)],
    ["in frames", () => answer(pieces(LONG), { mayBeCompressed: true })],
  ])("%s is gzip, and says so", async (_what, make) => {
    const made = await compressed(make());
    expect(made.headers).toEqual(PACKED);
    const bytes = await bytesOf(made);
    expect(bytes.length).toBeLessThan(LONG.length / 3);
    expect(gunzipSync(bytes).equals(LONG)).toBe(true);
  });

  it("is made no further when nobody reads it any more", async () => {
    const ended = Promise.withResolvers<undefined>();
    const body = pieces(LONG, () => ended.resolve(undefined));
    const made = await compressed(answer(body, { mayBeCompressed: true }));
    for await (const chunk of made.body as AsyncIterable<Uint8Array>) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    await ended.promise;
  });

  it("that breaks off is broken, not short", async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield LONG;
      throw new Error("the cache is gone");
    }
    const made = await compressed(answer(broken(), { mayBeCompressed: true }));
    await expect(bytesOf(made)).rejects.toThrow("the cache is gone");
  });
});

describe("as it is stays", () => {
  it("what is short, in one piece or in several", async () => {
    const short = LONG.subarray(0, 128 * 1024);
    const whole = answer(short);
    expect(await compressed(whole)).toBe(whole);
    const { headers, body } = await compressed(answer(pieces(short), { mayBeCompressed: true }));
    expect([headers["content-encoding"], short.equals(body as Uint8Array)]).toEqual([undefined, true]);
  });

  it("what is sent as it comes, and what is packed already", async () => {
    const watch = answer(pieces(LONG));
    expect(await compressed(watch)).toBe(watch);
    const packed = answer(LONG, { headers: { "content-encoding": "gzip" } });
    expect(await compressed(packed)).toBe(packed);
  });
});

it.each([
  ["gzip", true],
  ["deflate, gzip", true],
  ["gzip;q=0", false],
  ["identity", false],
  [undefined, false],
])("Accept-Encoding %s asks for it: %s", (header, wanted) => {
  expect(acceptsGzip(header)).toBe(wanted);
});
