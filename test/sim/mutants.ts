/** Rules taken away, each by the test's own means: the simulation must notice (consistency.md). */
import type { KubernetesObject } from "@pilothouse/client";
import { OwnWrites } from "@pilothouse/controller";
import type { Informer } from "@pilothouse/informer";
import { Feed } from "@pilothouse/informer/feed";
import type { Compare, Store, Transaction } from "@pilothouse/store";
import type { Mutant } from "./cluster.ts";

const isFence = ({ key }: Compare): boolean => key.startsWith("/pilothouse/elections/");

/** C11: an apiserver whose transactions compare no election. */
export const withoutFencing: Mutant = {
  name: "without fencing",
  apiserverStore: (store: Store) =>
    new Proxy(store, {
      get(target, member, receiver) {
        if (member !== "txn") return Reflect.get(target, member, receiver) as unknown;
        return (txn: Transaction) =>
          target.txn({ ...txn, compares: txn.compares.filter((compare) => !isFence(compare)) });
      },
    }),
};

/** Controllers that decide again before their caches show what they did last. */
export const withoutOwnWrites: Mutant = {
  name: "without read-your-own-writes",
  install() {
    const seen = Object.getOwnPropertyDescriptor(OwnWrites.prototype, "seen") as PropertyDescriptor;
    Object.defineProperty(OwnWrites.prototype, "seen", { ...seen, value: () => true });
    return () => void Object.defineProperty(OwnWrites.prototype, "seen", seen);
  },
};

/** C10: a new leader that acts on whatever its caches happen to show. */
export const withoutLookingFirst: Mutant = {
  name: "without looking first",
  install() {
    const wait = Object.getOwnPropertyDescriptor(Feed.prototype, "waitForRevision") as PropertyDescriptor;
    const original = wait.value as Informer<KubernetesObject>["waitForRevision"];
    const untilListed = function (
      this: Informer<KubernetesObject>,
      revision: number,
      signal?: AbortSignal,
    ): Promise<void> {
      return original.call(this, Math.min(1, revision), signal);
    };
    Object.defineProperty(Feed.prototype, "waitForRevision", { ...wait, value: untilListed });
    return () => void Object.defineProperty(Feed.prototype, "waitForRevision", wait);
  },
};

export const mutants: readonly Mutant[] = [withoutFencing, withoutOwnWrites, withoutLookingFirst];
