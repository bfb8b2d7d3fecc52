/** What really happened, read from etcd itself. */
import { base64, currentRevision, linesOfAnswer, type EtcdGateway } from "./etcd-gateway.ts";
import type { Change } from "./history.ts";
import { changeOf, type Collection } from "./watch-requests.ts";

interface WatchAnswer {
  readonly result?: {
    readonly compact_revision?: string;
    readonly events?: readonly {
      readonly type?: "DELETE";
      readonly kv: {
        readonly key: string;
        readonly value?: string;
        readonly mod_revision: string;
        readonly create_revision?: string;
      };
    }[];
  };
  readonly error?: { readonly message?: string };
}

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
  async readOn(gateway: EtcdGateway): Promise<void> {
    const head = await currentRevision(gateway);
    if (head === this.#head) return;
    const reading = new AbortController();
    const everything = base64("\0");
    const body = { create_request: { key: everything, range_end: everything, start_revision: this.#head + 1 } };
    const response = await gateway("/v3/watch", body, reading.signal);
    try {
      for await (const answer of linesOfAnswer(response)) {
        const { result, error } = JSON.parse(answer) as WatchAnswer;
        if (error || result?.compact_revision) throw new Error(`etcd's history is not whole: ${answer.slice(0, 200)}`);
        for (const { type, kv } of result?.events ?? []) {
          this.#head = Number(kv.mod_revision);
          const value = type === "DELETE" ? undefined : Buffer.from(kv.value ?? "", "base64");
          const key = Buffer.from(kv.key, "base64").toString();
          const change = changeOf(this.#collection, key, this.#head, value);
          if (change) this.changes.push(change);
          this.#onEveryChange({ key, revision: this.#head, createRevision: Number(kv.create_revision ?? 0), value });
        }
        // Each revision has an event of some key, so the last one is surely told.
        if (this.#head >= head) return;
      }
      throw new Error(`etcd's watch ended at ${this.#head}, before ${head}`);
    } finally {
      reading.abort();
    }
  }
}
