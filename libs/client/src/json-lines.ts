/** A body of JSON values, one a line, as watches have it. */

const NEWLINE = 0x0a;

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
      if (line.length > 0) yield JSON.parse(new TextDecoder().decode(line));
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
    bytes += chunk.length - from;
    if (bytes > MAX_LINE_BYTES) throw new RangeError(`a line of more than ${MAX_LINE_BYTES} bytes in a watch`);
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
