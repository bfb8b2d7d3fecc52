/** The truth behind all apiservers, and each process's own bad connection to it. */
import type { KubernetesObject } from "@pilothouse/client";
import { allKeys, type Store, type StoreChange, type Transaction } from "@pilothouse/store";
import { faultyStore } from "@pilothouse/store/faulty";
import { memoryStore } from "@pilothouse/store/memory";
import { MEMBERS, type Faults } from "./faults.ts";
import type { Life } from "./machine.ts";
import { currentContext, type Cause } from "./traps.ts";
import type { World } from "./world.ts";

/** All that one transaction, or the end of a lease, changed. */
export interface Commit {
  readonly revision: number;
  readonly changes: readonly StoreChange[];
  /** What was put below /registry/, by key; without resourceVersion. */
  readonly objects: ReadonlyMap<string, KubernetesObject & { readonly kind?: string }>;
  /** The process that asked for it; undefined when a lease ended. */
  readonly life: string | undefined;
  /** The request that it was done for. */
  readonly cause: Cause | undefined;
}

/** The store's cluster: always up, told exactly who did what. */
export class Truth {
  readonly store: Store;
  readonly #authors = new Map<number, { readonly life: string; readonly cause: Cause | undefined }>();
  readonly #changes: StoreChange[] = [];

  constructor(world: World) {
    const memory = memoryStore({ clock: world.clock, watchBatch: WATCH_BATCH });
    this.store = {
      ...memory,
      txn: (txn) => this.#noted(memory, txn),
      compact: (revision) => memory.compact(revision).then(() => world.count("compacted")),
    };
    memory.watch({
      range: allKeys,
      startRevision: 1,
      // The story tells what was created and what was changed.
      withPrevious: true,
      onChanges: (changes) => void this.#changes.push(...changes),
      onEnd: () => undefined,
    });
  }

  /** What was committed since the last call, revision by revision. */
  takeCommits(): Commit[] {
    if (this.#changes.length === 0) return [];
    const byRevision = new Map<number, StoreChange[]>();
    for (const change of this.#changes.splice(0)) {
      const revision = revisionOf(change);
      byRevision.set(revision, [...(byRevision.get(revision) ?? []), change]);
    }
    return [...byRevision].map(([revision, changes]) => {
      const author = this.#authors.get(revision);
      this.#authors.delete(revision);
      return { revision, changes, objects: objectsOf(changes), life: author?.life, cause: author?.cause };
    });
  }

  #noted(memory: Store, txn: Transaction): ReturnType<Store["txn"]> {
    const context = currentContext();
    // The memory store does it at once and tells by promise: nothing happens in between.
    return memory.txn(txn).then((result) => {
      const branch = result.succeeded ? txn.then : (txn.otherwise ?? []);
      if (branch.some(({ op }) => op !== "get"))
        this.#authors.set(result.revision, { life: context?.life ?? "", cause: context?.cause });
      return result;
    });
  }
}

/** A process's connection to the store: what the network does to it, and nothing after the process's end. */
export function storeOf(life: Life, truth: Store, world: World, faults: Faults): Store {
  const { name } = life.machine;
  const store = faultyStore(truth, { clock: world.clock, faults: faults.store(name), members: MEMBERS });
  life.onEnd(() => void store.close());
  return portOf(life, "store", store, {
    watch: (options) =>
      store.watch({
        ...options,
        onChanges: (changes) => {
          if (changes.length >= WATCH_BATCH) world.count("whole batch");
          life.run(() => options.onChanges(changes));
        },
        onEnd: (cause) => {
          if (cause.reason === "compacted") world.count("reloaded");
          life.run(() => options.onEnd(cause));
        },
        onHealth: (healthy) => life.run(() => options.onHealth?.(healthy)),
      }),
  });
}

/** Who is further behind gets the store's news in batches. etcd's are of 1,000, which is all that happens in a world. */
const WATCH_BATCH = 50;

/** A port as one life has it: each answer comes as an event of that life; a dead life's calls are never made. */
export function portOf<T extends object>(life: Life, name: string, port: T, own: Partial<T> = {}): T {
  return new Proxy(port, {
    get(target, member, _receiver) {
      if (Object.hasOwn(own, member)) return own[member as keyof T];
      const value: unknown = Reflect.get(target, member, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        if (!life.alive) return new Promise(() => undefined);
        const result: unknown = Reflect.apply(value, target, args);
        return result instanceof Promise ? life.seen(`${name} ${String(member)}`, result) : result;
      };
    },
  });
}

function objectsOf(changes: readonly StoreChange[]): Map<string, KubernetesObject> {
  const objects = new Map<string, KubernetesObject>();
  for (const change of changes)
    if (change.type === "put" && change.entry.key.startsWith("/registry/"))
      objects.set(change.entry.key, storedObject(change.entry.value));
  return objects;
}

/** The object stands before the newline; behind it is the trailer. */
function storedObject(value: Uint8Array): KubernetesObject {
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8");
  return JSON.parse(text.slice(0, text.lastIndexOf("\n"))) as KubernetesObject;
}

export function changedKey(change: StoreChange): string {
  return change.type === "put" ? change.entry.key : change.key;
}

export function revisionOf(change: StoreChange): number {
  return change.type === "put" ? change.entry.modRevision : change.modRevision;
}
