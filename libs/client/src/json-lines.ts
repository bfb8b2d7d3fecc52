/** A body of JSON values, one a line, as watches have it. */

const NEWLINE = 0x0a;
const decoder = new TextDecoder();

/** A line over this is not an object of Kubernetes. */
const MAX_LINE_BYTES = 16 * 2 ** 20;

/** Parses each line as soon as it is whole; a last line without its newline is not whole and is left out. */
export async function* jsonLines(body: AsyncIterable<Uint8Array>): AsyncGenerator {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      const line = concat([...parts, chunk.subarray(from, end)]);
      from = end + 1;
      parts = [];
      bytes = 0;
      if (line.length > 0) yield JSON.parse(decoder.decode(line));
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
    bytes += chunk.length - from;
    if (bytes > MAX_LINE_BYTES) throw new RangeError(`a line of more than ${MAX_LINE_BYTES} bytes in a watch`);
  }
}

/**
 * The body, cut at the end of a line once the signal aborts: whoever reads it goes on elsewhere from there. What has come by
 * then is handed over.
 */
export async function* untilRetired(
  body: AsyncIterable<Uint8Array> & { destroy(): void },
  retired: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const source = body[Symbol.asyncIterator]();
  const end = Promise.withResolvers<"retired">();
  const onAbort = (): void => end.resolve("retired");
  retired.addEventListener("abort", onAbort, { once: true });
  if (retired.aborted) onAbort();
  let isBetweenLines = true;
  try {
    for (;;) {
      const reading = source.next();
      // A chunk that is there wins: the order of the two tells.
      const next: IteratorResult<Uint8Array> | "retired" = await (isBetweenLines
        ? Promise.race([reading, end.promise])
        : reading);
      if (next === "retired" || next.done) {
        // Ended below, it settles somehow; how no longer matters.
        reading.catch(() => undefined);
        return;
      }
      yield next.value;
      if (next.value.length > 0) isBetweenLines = next.value.at(-1) === NEWLINE;
    }
  } finally {
    retired.removeEventListener("abort", onAbort);
    // Not `source.return`: it would wait for the read under way.
    body.destroy();
  }
}

export async function readAll(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return concat(parts);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
}
