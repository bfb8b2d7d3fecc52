/**
 * The body of a LIST, made while the client reads it: whatever its length, it holds references to what the cache holds
 * anyway, and a piece or two.
 *
 * Large objects are sent from where they lie: a copy of each would be a hundred megabytes of garbage in a LIST of 10,000, and
 * collecting it stalls everybody.
 */
import type { Clock } from "@pilothouse/clock";
import type { Form, ListMeta } from "../../core/forms/form.ts";
import type { CacheEntry } from "../../core/model.ts";
import { paceOf } from "../pace.ts";
import { shared, type ReadPorts } from "./read.ts";

export interface Page {
  readonly entries: readonly CacheEntry[];
  readonly meta: ListMeta;
}

export interface ListBody {
  /** Undefined when it is known only at the end. */
  readonly sizeBytes: number | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

export async function listBody(ports: ReadPorts, form: Form, { entries, meta }: Page): Promise<ListBody> {
  const item = itemOf(ports, form, entries.length);
  const { isMeasured } = form.list;
  const itemsBytes = isMeasured ? await measured(ports.clock, parts(form, entries, item)) : 0;
  const { head, tail } = form.list.around(meta, entries.length, itemsBytes);
  return {
    sizeBytes: isMeasured ? head.length + itemsBytes + tail.length : undefined,
    body: inPieces(ports.clock, parts(form, entries, item, head, tail)),
  };
}

/** A long list would push everything else out of what is shared, and itself. */
const MAX_SHARED_ITEMS = 500;

function itemOf({ encodings }: ReadPorts, form: Form, count: number): (entry: CacheEntry) => Uint8Array {
  const key = count <= MAX_SHARED_ITEMS ? form.shareKey : undefined;
  return (entry) => shared(encodings, key, "item", entry, () => form.item(entry));
}

function* parts(
  { list }: Form,
  entries: readonly CacheEntry[],
  item: (entry: CacheEntry) => Uint8Array,
  head?: Uint8Array,
  tail?: Uint8Array,
): Generator<Uint8Array, void, void> {
  if (head) yield head;
  for (const [i, entry] of entries.entries()) {
    const bytes = item(entry);
    yield list.lead(bytes, i);
    yield bytes;
  }
  if (tail) yield tail;
}

async function measured(clock: Clock, pieces: Iterable<Uint8Array>): Promise<number> {
  const pace = paceOf(clock);
  let sizeBytes = 0;
  for (const piece of pieces) {
    sizeBytes += piece.length;
    const pause = pace();
    if (pause) await pause;
  }
  return sizeBytes;
}

/** Small parts travel together up to about this size. */
const PIECE_BYTES = 16 << 10;
/** From here on a write of its own costs less than a copy. */
const OWN_PIECE_BYTES = 4 << 10;

async function* inPieces(clock: Clock, all: Iterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const pace = paceOf(clock);
  let small: Uint8Array[] = [];
  let smallBytes = 0;
  for (const part of all) {
    const isOwn = part.length >= OWN_PIECE_BYTES;
    if (smallBytes > 0 && (isOwn || smallBytes + part.length > PIECE_BYTES)) {
      yield joined(small);
      small = [];
      smallBytes = 0;
    }
    if (isOwn) yield part;
    else {
      small.push(part);
      smallBytes += part.length;
    }
    const pause = pace();
    if (pause) await pause;
  }
  if (smallBytes > 0) yield joined(small);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
}
