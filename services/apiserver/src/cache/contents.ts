/** All that one load of the store brought in, kept true by the changes after it: the kinds' objects and histories. */
import type { KindDefinition } from "@pilothouse/kinds/kind";
import type { StoreChange, StoreEntry } from "@pilothouse/store";
import type { Logger } from "@pilothouse/telemetry";
import { storePrefix } from "../core/model.ts";
import {
  atRevision,
  DELETE_CAUSES,
  decodeDeleteCause,
  UnreadableValue,
  type DeleteCause,
} from "../core/stored/stored.ts";
import { Entry, readEntry } from "./entry.ts";
import type { HistoryLimits } from "./history.ts";
import { KindCache, type EntryChange } from "./kind-cache.ts";
import { Slabs } from "./slab.ts";

export interface ContentsOptions {
  readonly kinds: readonly KindDefinition[];
  readonly rvBase: number;
  readonly history: HistoryLimits;
  readonly log: Logger;
}

/** What the changes of one delivery were to one kind, in order. */
export interface KindChanges {
  readonly kind: KindDefinition;
  readonly changes: EntryChange[];
}

export class Contents {
  readonly #rvBase: number;
  readonly #log: Logger;
  readonly #slabs = new Slabs();
  readonly #room = (lengthBytes: number): Uint8Array => this.#slabs.room(lengthBytes);
  /** By `/registry/<group>/<resource>/`. */
  readonly #kinds: ReadonlyMap<string, KindCache>;

  /** `floor`: the resourceVersion of the load. */
  constructor({ kinds, rvBase, history, log }: ContentsOptions, floor: number) {
    this.#rvBase = rvBase;
    this.#log = log;
    this.#kinds = new Map(kinds.map((kind) => [storePrefix(kind), new KindCache(kind, this.#slabs, history, floor)]));
  }

  get residentBytes(): number {
    return this.#slabs.residentBytes;
  }

  get objects(): number {
    let count = 0;
    for (const { index } of this.#kinds.values()) count += index.size;
    return count;
  }

  get hasUnreadable(): boolean {
    return [...this.#kinds.values()].some(({ broken }) => broken.size > 0);
  }

  of(kind: KindDefinition): KindCache {
    const cached = this.#kinds.get(storePrefix(kind));
    if (!cached) throw new Error(`${kind.group}/${kind.resource} is not in the cache`);
    return cached;
  }

  /** Takes a key in as the load finds it: no change to anybody. */
  load(stored: StoreEntry): void {
    const cached = this.#ofKey(stored.key);
    const entry = cached && this.#read(cached, stored);
    if (entry) cached.load(entry);
  }

  /** Takes in all changes of one or more whole revisions. */
  apply(changes: readonly StoreChange[]): readonly KindChanges[] {
    const causes = deleteCauses(changes);
    const told = new Map<KindCache, KindChanges>();
    for (const change of changes) {
      const cached = this.#ofKey(change.type === "put" ? change.entry.key : change.key);
      const entryChange = cached && this.#take(cached, change, causes);
      if (!entryChange) continue;
      const ofKind = told.get(cached);
      if (ofKind) ofKind.changes.push(entryChange);
      else told.set(cached, { kind: cached.kind, changes: [entryChange] });
    }
    return [...told.values()];
  }

  #take(cached: KindCache, change: StoreChange, causes: DeleteCauses): EntryChange | undefined {
    if (change.type === "put") {
      const entry = this.#read(cached, change.entry);
      return entry && cached.put(entry);
    }
    const { key, modRevision } = change;
    cached.broken.delete(key);
    const previous = cached.index.get(key);
    if (!previous) return undefined;
    const resourceVersion = modRevision + this.#rvBase;
    const bytes = atRevision(previous.bytes, previous.revision, resourceVersion, this.#room);
    const trace = causes.get(`${modRevision} ${key}`)?.trace;
    return cached.delete(new Entry(key, cached.kind, resourceVersion, trace, previous, bytes), previous);
  }

  /** Undefined for a value that cannot be read, which is then remembered as broken. */
  #read({ kind, broken }: KindCache, stored: StoreEntry): Entry | undefined {
    try {
      return readEntry(kind, stored, this.#rvBase, this.#room);
    } catch (error) {
      this.#log.error("a stored value cannot be read", { key: stored.key, error });
      broken.set(stored.key, error instanceof UnreadableValue ? error.message : "the value is no such object");
      return undefined;
    }
  }

  /** `/registry/<group>/<resource>/…` is a key of the kind with that folder. */
  #ofKey(key: string): KindCache | undefined {
    if (!key.startsWith("/registry/")) return undefined;
    const group = key.indexOf("/", "/registry/".length);
    const resource = key.indexOf("/", group + 1);
    return group < 0 || resource < 0 ? undefined : this.#kinds.get(key.slice(0, resource + 1));
  }
}

type DeleteCauses = ReadonlyMap<string, DeleteCause>;

/** The causes of the deletes among these changes, by `<revision> <key>`. */
function deleteCauses(changes: readonly StoreChange[]): DeleteCauses {
  const causes = new Map<string, DeleteCause>();
  for (const change of changes) {
    if (change.type !== "put" || !change.entry.key.startsWith(DELETE_CAUSES)) continue;
    const cause = decodeDeleteCause(change.entry.value);
    if (cause) causes.set(`${change.entry.modRevision} ${cause.key}`, cause);
  }
  return causes;
}
