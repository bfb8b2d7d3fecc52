/**
 * What resourceVersions are ahead of the store's revisions (C8): 0 until a backup is restored. A restore sets the store's
 * revision back; the base that it raises with it keeps resourceVersions rising.
 */
import type { Store, StoreEntry } from "./index.ts";

export const RV_BASE_KEY = "/pilothouse/rv-base";

/** By how much a restore raises it, before any apiserver starts: more writes than any cluster makes after its backup. */
export const RV_BASE_STEP = 1_000_000_000;

/** Constant while a process runs. */
export async function readRvBase(store: Store): Promise<number> {
  return rvBaseOf((await store.get(RV_BASE_KEY)).entry);
}

/** What the entry of `RV_BASE_KEY` says. */
export function rvBaseOf(entry: StoreEntry | undefined): number {
  if (!entry) return 0;
  const base = Number(Buffer.from(entry.value).toString("utf8"));
  if (!Number.isSafeInteger(base) || base < 0) throw new Error(`${RV_BASE_KEY} holds no whole number`);
  return base;
}

/** For a restore, on the restored store. */
export async function raiseRvBase(store: Store): Promise<number> {
  const raised = (await readRvBase(store)) + RV_BASE_STEP;
  const value = Buffer.from(String(raised));
  await store.txn({ compares: [], then: [{ op: "put", key: RV_BASE_KEY, value }] });
  return raised;
}
