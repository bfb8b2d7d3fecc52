/**
 * A store that encrypts values on their way to etcd and decrypts them on their way back (C9); all else passes as it is.
 *
 * Promises: a value that cannot be decrypted is handed on as it lies there, marked `unreadable`; it is an entry like others,
 * never absent. One that the current key has not written is marked `outdated`. After new rules, `writesEnded()` resolves when nothing
 * will be stored by the earlier ones any more.
 */
import type { Sealing } from "@pilothouse/crypto";
import type { Store, StoreChange, StoreEntry, StoreOp } from "@pilothouse/store";
import { openValue, ruleFor, sealValue, type EncryptionRule } from "../../core/stored/encryption.ts";

export interface EncryptedStore extends Store {
  /** Resolves when every write that is under way now has ended, well or not. */
  writesEnded(): Promise<void>;
}

/** `rules` is asked at each value: they may change while the store is open. */
export function encryptedStore(store: Store, sealing: Sealing, rules: () => readonly EncryptionRule[]): EncryptedStore {
  const underWay = new Set<Promise<unknown>>();
  const opened = (entry: StoreEntry): StoreEntry => {
    const rule = ruleFor(rules(), entry.key);
    if (!rule) return entry;
    const result = openValue(sealing, rule, entry.key, entry.value);
    if ("problem" in result) return { ...entry, unreadable: result.problem };
    return { ...entry, value: result.value, ...(result.outdated ? { outdated: true } : {}) };
  };
  const sealed = (operation: StoreOp): StoreOp => {
    if (operation.op !== "put") return operation;
    const rule = ruleFor(rules(), operation.key);
    return rule ? { ...operation, value: sealValue(sealing, rule, operation.key, operation.value) } : operation;
  };
  const openedChange = (change: StoreChange): StoreChange => {
    if (!ruleFor(rules(), change.type === "put" ? change.entry.key : change.key)) return change;
    const previous = change.previous && opened(change.previous);
    return change.type === "put" ? { ...change, entry: opened(change.entry), previous } : { ...change, previous };
  };
  return {
    ...store,
    async get(key, options) {
      const { entry, revision } = await store.get(key, options);
      return { entry: entry && opened(entry), revision };
    },
    async range(range, options) {
      const page = await store.range(range, options);
      return options?.keysOnly ? page : { ...page, entries: page.entries.map(opened) };
    },
    async txn(txn) {
      const { then, otherwise } = txn;
      const failing = otherwise ? { otherwise: otherwise.map(sealed) } : {};
      const write = store.txn({ ...txn, then: then.map(sealed), ...failing });
      underWay.add(write);
      try {
        const result = await write;
        return { ...result, gets: result.gets.map((entry) => entry && opened(entry)) };
      } finally {
        underWay.delete(write);
      }
    },
    async writesEnded() {
      await Promise.allSettled(underWay);
    },
    watch: (options) =>
      store.watch({ ...options, onChanges: (changes) => options.onChanges(changes.map(openedChange)) }),
  };
}
