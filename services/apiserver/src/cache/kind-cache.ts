/** One kind in the cache: its objects now, its latest changes, and who wants to hear of new ones. */
import type { KindDefinition } from "@pilothouse/kinds/kind";
import type { CacheChange } from "../core/model.ts";
import type { Entry } from "./entry.ts";
import { History, type HistoryLimits } from "./history.ts";
import { KindIndex } from "./kind-index.ts";
import type { Slabs } from "./slab.ts";

/** A change whose entries the cache itself holds. */
export interface EntryChange extends CacheChange {
  readonly entry: Entry;
  readonly previous: Entry | undefined;
}

export class KindCache {
  readonly kind: KindDefinition;
  readonly index = new KindIndex();
  readonly history: History<EntryChange>;
  /** Keys whose value cannot be read, and why: an error to who asks for them, never taken for deleted (C9). */
  readonly broken = new Map<string, string>();
  readonly #slabs: Slabs;

  constructor(kind: KindDefinition, slabs: Slabs, limits: HistoryLimits, floor: number) {
    this.kind = kind;
    this.#slabs = slabs;
    this.history = new History(limits, floor, ({ entry, previous }) => {
      this.#drop(entry);
      if (previous) this.#drop(previous);
    });
  }

  /** Takes an object in as the load finds it: no change to anybody. */
  load(entry: Entry): void {
    this.#slabs.place(entry);
    entry.holders++;
    this.broken.delete(entry.key);
    this.index.put(entry);
  }

  put(entry: Entry): EntryChange {
    this.#slabs.place(entry);
    entry.holders++;
    this.broken.delete(entry.key);
    const previous = this.index.put(entry);
    return this.#record({ type: previous ? "MODIFIED" : "ADDED", entry, previous });
  }

  /** `last` is the deleted object with the delete's revision and cause. */
  delete(last: Entry, previous: Entry): EntryChange {
    this.#slabs.place(last);
    this.index.delete(last.key);
    return this.#record({ type: "DELETED", entry: last, previous });
  }

  #record(change: EntryChange): EntryChange {
    change.entry.holders++;
    if (change.previous) change.previous.holders++;
    this.history.append(change);
    // What the index held until now.
    if (change.previous) this.#drop(change.previous);
    return change;
  }

  #drop(entry: Entry): void {
    entry.holders--;
    if (entry.holders === 0) this.#slabs.release(entry);
  }
}
