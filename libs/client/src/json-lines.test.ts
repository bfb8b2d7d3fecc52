import { expect, test } from "vitest";
import { untilRetired } from "./json-lines.ts";

/** A body whose chunks come by hand. */
function byHand() {
  const chunks: string[] = [];
  let wake = Promise.withResolvers<void>();
  const body = {
    isDestroyed: false,
    destroy: () => void (body.isDestroyed = true),
    send(chunk: string) {
      chunks.push(chunk);
      wake.resolve();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift())
          yield new TextEncoder().encode(chunk);
        wake = Promise.withResolvers();
        await wake.promise;
      }
    },
  };
  return body;
}

async function collect(body: AsyncIterable<Uint8Array>, into: string[]): Promise<void> {
  for await (const chunk of body) into.push(new TextDecoder().decode(chunk));
}

test("a retired body ends at once between lines, and lets go of its connection", async () => {
  const body = byHand();
  const retired = new AbortController();
  const got: string[] = [];
  const reading = collect(untilRetired(body, retired.signal), got);
  body.send("one\n");
  await new Promise(setImmediate);
  retired.abort();
  await reading;
  expect([got, body.isDestroyed]).toEqual([["one\n"], true]);
});

test("a retired body ends after the line that has begun", async () => {
  const body = byHand();
  const retired = new AbortController();
  const got: string[] = [];
  const reading = collect(untilRetired(body, retired.signal), got);
  body.send("on");
  await new Promise(setImmediate);
  retired.abort();
  await new Promise(setImmediate);
  body.send("e\n");
  await reading;
  expect(got.join("")).toBe("one\n");
});
