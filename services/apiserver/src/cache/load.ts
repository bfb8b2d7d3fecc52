/** Reads the whole store at one revision, as old as it still has it, so that what follows is also history (C5). */
import { allKeys, RevisionCompacted, type RangePage, type Store } from "@pilothouse/store";
import { Contents, type ContentsOptions } from "./contents.ts";

/** Where the compactor leaves the revision that it compacts to, before it does (flows/compact.ts). */
export const COMPACTED_KEY = "/pilothouse/compacted";

export interface Load {
  readonly contents: Contents;
  /** The store's revision at which all was read. */
  readonly at: number;
  /** The store's revision when the load began: what is missing until the watch has reached it. */
  readonly head: number;
}

const PAGE_ENTRIES = 500;

/**
 * `lookBack`: how many revisions before the newest one to read at, at most.
 *
 * @throws RevisionCompacted when the store compacts past the revision meanwhile
 */
export async function loadStore(
  store: Store,
  options: ContentsOptions,
  lookBack: number,
  signal: AbortSignal,
): Promise<Load> {
  const head = await store.revision(signal);
  const at = await oldestLoadable(store, head, lookBack);
  const contents = new Contents(options, at + options.rvBase);
  const pageFrom = (from: string): Promise<RangePage> =>
    store.range({ from, to: allKeys.to }, { revision: at, limit: PAGE_ENTRIES, signal });
  for (let next: Promise<RangePage> | undefined = pageFrom(allKeys.from); next;) {
    const { entries, more }: RangePage = await next;
    const last = entries.at(-1);
    // The store reads the next page while this one is taken in.
    next = more && last ? pageFrom(`${last.key}\0`) : undefined;
    for (const entry of entries) contents.load(entry);
  }
  return { contents, at, head };
}

async function oldestLoadable(store: Store, head: number, lookBack: number): Promise<number> {
  if (lookBack === 0) return head;
  const wanted = Math.max(1, head - lookBack);
  if (await isLoadable(store, wanted)) return wanted;
  // etcd says that it has compacted, not up to where: our compactor left that in its key.
  const { entry } = await store.get(COMPACTED_KEY);
  const compacted = entry ? Number(Buffer.from(entry.value).toString("utf8")) : 0;
  return compacted > wanted && compacted < head && (await isLoadable(store, compacted)) ? compacted : head;
}

async function isLoadable(store: Store, revision: number): Promise<boolean> {
  try {
    await store.range({ from: COMPACTED_KEY, to: `${COMPACTED_KEY}\0` }, { revision, countOnly: true });
    return true;
  } catch (error) {
    if (error instanceof RevisionCompacted) return false;
    throw error;
  }
}
