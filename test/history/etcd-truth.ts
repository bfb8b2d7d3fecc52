/** What really happened, read from etcd itself. */
import { currentRevision, EVERY_KEY, type EtcdReader } from "./etcd-reader.ts";
import type { Change } from "./history.ts";
import { changeOf, type Collection } from "./watch-requests.ts";

/** A change of any key, as etcd tells it. */
export interface StoreKeyChange {
  readonly key: string;
  readonly revision: number;
  /** 0: deleted. */
  readonly createRevision: number;
  readonly value: Uint8Array | undefined;
}

/** Every change of a collection, in order, after a revision. `head`: the revision up to which it is read. */
export class EtcdTruth {
  readonly changes: Change[] = [];
  readonly #collection: Collection;
  readonly #onEveryChange: (change: StoreKeyChange) => void;
  #head: number;

  constructor(collection: Collection, after = 0, onEveryChange: (change: StoreKeyChange) => void = () => undefined) {
    this.#collection = collection;
    this.#head = after;
    this.#onEveryChange = onEveryChange;
  }

  get head(): number {
    return this.#head;
  }

  /** Reads on from where it is to the store's current revision, at a healthy member. */
  async readOn(etcd: EtcdReader): Promise<void> {
    const head = await currentRevision(etcd);
    if (head === this.#head) return;
    for await (const { events } of etcd.watch({
      key: EVERY_KEY,
      range_end: EVERY_KEY,
      start_revision: this.#head + 1,
    })) {
      for (const { type, kv } of events) {
        this.#head = Number(kv.mod_revision);
        const value = type === "Delete" ? undefined : kv.value;
        const key = kv.key.toString();
        const change = changeOf(this.#collection, key, this.#head, value);
        if (change) this.changes.push(change);
        this.#onEveryChange({ key, revision: this.#head, createRevision: Number(kv.create_revision), value });
      }
      // Each revision has an event of some key, so the last one is surely told.
      if (this.#head >= head) return;
    }
    throw new Error(`etcd's watch ended at ${this.#head}, before ${head}`);
  }
}
