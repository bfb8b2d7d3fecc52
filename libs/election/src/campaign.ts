/** The election's dealings with the store: each settles, and what is unclear ends as "not ours" (C3). */
import type { Clock } from "@pilothouse/clock";
import type { Compare, Store } from "@pilothouse/store";
import { RV_BASE_KEY, rvBaseOf } from "@pilothouse/store/rv-base";
import { electionKey, encodeLeader } from "./key.ts";
import { electionTimes } from "./machine.ts";

export interface Candidate {
  readonly name: string;
  readonly identity: string;
  readonly healthAddress: string | undefined;
  readonly store: Store;
  readonly clock: Clock;
}

export interface CreatedKey {
  readonly createRevision: number;
  /** The same as resourceVersions count. */
  readonly resourceVersion: number;
  readonly leaseId: string;
  /** When the lease was asked for: it ends no earlier than its time to live after this. */
  readonly askedMs: number;
}

/** Creates the key unless it exists. Undefined when it is not ours; throws when the store fails. */
export async function createKey({
  name,
  identity,
  healthAddress,
  store,
  clock,
}: Candidate): Promise<CreatedKey | undefined> {
  const askedMs = clock.monotonicMs();
  const { leaseId } = await store.grantLease(electionTimes.leaseSeconds);
  const key = electionKey(name);
  const value = encodeLeader(identity, healthAddress, new Date(clock.now()).toISOString());
  try {
    const { succeeded, revision, gets } = await store.txn({
      compares: [{ key, target: "createRevision", equals: 0 }],
      then: [
        { op: "put", key, value, leaseId },
        { op: "get", key: RV_BASE_KEY },
      ],
    });
    if (succeeded) return { createRevision: revision, resourceVersion: revision + rvBaseOf(gets[0]), leaseId, askedMs };
  } catch (error) {
    // It may have been done, or be done later: without its lease it cannot stay.
    await store.revokeLease(leaseId).catch(() => undefined);
    throw error;
  }
  await store.revokeLease(leaseId).catch(() => undefined);
  return undefined;
}

/** Removes the key if it is still the one of this create-revision. */
export async function removeKey({ name, store }: Candidate, createRevision: number): Promise<boolean> {
  const key = electionKey(name);
  const same: Compare = { key, target: "createRevision", equals: createRevision };
  return (await store.txn({ compares: [same], then: [{ op: "delete", key }] })).succeeded;
}

/** Renews the lease and looks for the key: a lease that lives does not prove that the key is still there. */
export async function renewLease(
  { name, store }: Candidate,
  { leaseId, createRevision }: Pick<CreatedKey, "createRevision" | "leaseId">,
): Promise<boolean> {
  if ((await store.keepLeaseAlive(leaseId)) === 0) return false;
  return (await store.get(electionKey(name))).entry?.createRevision === createRevision;
}
