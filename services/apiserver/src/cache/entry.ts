/** One object as the cache holds it: immutable to all who read it; `bytes` may move to another slab, its content never changes. */
import type { KindDefinition } from "@pilothouse/kinds/kind";
import type { TraceContext } from "@pilothouse/telemetry";
import type { CacheEntry } from "../core/model.ts";
import { factsOf, readStored, UnreadableValue, type EntryFacts, type RoomFor } from "../core/stored/stored.ts";
import type { StoreEntry } from "@pilothouse/store";
import type { Placed, Slab } from "./slab.ts";

export class Entry implements CacheEntry, Placed {
  readonly key: string;
  readonly kind: KindDefinition;
  readonly revision: number;
  readonly trace: TraceContext | undefined;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, string>>;
  readonly ownerUids: readonly string[];
  readonly deleting: boolean;
  bytes: Uint8Array;
  slab: Slab | undefined;
  /** How often the index and the history hold this entry; at 0 its bytes are given back. */
  holders = 0;

  constructor(
    key: string,
    kind: KindDefinition,
    revision: number,
    trace: TraceContext | undefined,
    facts: EntryFacts,
    bytes: Uint8Array,
  ) {
    this.key = key;
    this.kind = kind;
    this.revision = revision;
    this.trace = trace;
    this.namespace = facts.namespace;
    this.name = facts.name;
    this.uid = facts.uid;
    this.labels = facts.labels;
    this.fields = facts.fields;
    this.ownerUids = facts.ownerUids;
    this.deleting = facts.deleting;
    this.bytes = bytes;
  }
}

/**
 * A stored entry as the cache and lists from etcd hold it; its bytes lie in `room`, or anywhere.
 *
 * @throws UnreadableValue
 */
export function readEntry(kind: KindDefinition, stored: StoreEntry, rvBase: number, room?: RoomFor): Entry {
  if (stored.unreadable !== undefined) throw new UnreadableValue(stored.unreadable);
  const revision = stored.modRevision + rvBase;
  const { object, bytes, trailer } = readStored(kind, stored.value, revision, room);
  return new Entry(stored.key, kind, revision, trailer.trace, factsOf(kind, object), bytes);
}
