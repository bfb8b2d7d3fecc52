/** What really happened, from etcd's own JSON gateway: none of our code is between the store and this record. */
import type { Change } from "./history.ts";
import { changeOf, type Collection } from "./watch-requests.ts";

interface WatchAnswer {
  readonly result?: {
    readonly compact_revision?: string;
    readonly events?: readonly {
      readonly type?: "DELETE";
      readonly kv: { readonly key: string; readonly value?: string; readonly mod_revision: string };
    }[];
  };
  readonly error?: { readonly message?: string };
}

/** Every change of a collection, in order, from the first revision on. `head`: the revision up to which it is read. */
export class EtcdTruth {
  readonly changes: Change[] = [];
  readonly #collection: Collection;
  #head = 0;

  constructor(collection: Collection) {
    this.#collection = collection;
  }

  get head(): number {
    return this.#head;
  }

  /** Reads on from where it is to the store's current revision; `endpoint` is that of a healthy member. */
  async readOn(endpoint: string): Promise<void> {
    const head = await currentRevision(endpoint);
    if (head === this.#head) return;
    const reading = new AbortController();
    const everything = Buffer.from("\0").toString("base64");
    const response = await fetch(`${endpoint}/v3/watch`, {
      method: "POST",
      body: JSON.stringify({
        create_request: { key: everything, range_end: everything, start_revision: this.#head + 1 },
      }),
      signal: reading.signal,
    });
    try {
      for await (const answer of lines(response.body as AsyncIterable<Uint8Array>)) {
        const { result, error } = JSON.parse(answer) as WatchAnswer;
        if (error || result?.compact_revision) throw new Error(`etcd's history is not whole: ${answer.slice(0, 200)}`);
        for (const { type, kv } of result?.events ?? []) {
          this.#head = Number(kv.mod_revision);
          const value = type === "DELETE" ? undefined : Buffer.from(kv.value ?? "", "base64");
          const key = Buffer.from(kv.key, "base64").toString();
          const change = changeOf(this.#collection, key, this.#head, value);
          if (change) this.changes.push(change);
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

async function currentRevision(endpoint: string): Promise<number> {
  const response = await fetch(`${endpoint}/v3/kv/range`, {
    method: "POST",
    body: JSON.stringify({ key: Buffer.from("\0").toString("base64"), count_only: true }),
  });
  const { header } = (await response.json()) as { readonly header: { readonly revision: string } };
  return Number(header.revision);
}

async function* lines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const part of body) {
    const whole = (rest + decoder.decode(part, { stream: true })).split("\n");
    rest = whole.pop() ?? "";
    yield* whole.filter((line) => line !== "");
  }
}
