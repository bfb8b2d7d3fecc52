/** What allocations work with, and the allocation keys that there are. */
import type { TimeAndChance } from "@pilothouse/clock";
import { prefixRange, type Store } from "@pilothouse/store";
import type { CachedObjects } from "../reads/cached.ts";

export interface AllocationPorts {
  readonly store: Store;
  readonly cached: CachedObjects;
  /** `random` is of the allocations alone. */
  readonly time: TimeAndChance;
  /** What a resourceVersion is ahead of the store's revision (C8). */
  readonly rvBase: number;
}

/** After this many unlucky draws all allocations of a kind are read. */
export const DRAWS = 8;

/** What stands behind the prefix in each of its keys. */
export async function takenUnder(store: Store, prefix: string): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  const range = prefixRange(prefix);
  let from = range.from;
  for (;;) {
    const page = await store.range({ from, to: range.to }, { keysOnly: true });
    for (const { key } of page.entries) names.add(key.slice(prefix.length));
    const last = page.entries.at(-1);
    if (!page.more || !last) return names;
    from = `${last.key}\0`;
  }
}
