/**
 * Compaction: history of at least two intervals is kept, older is given up, by one apiserver at a time (C5).
 *
 * Each apiserver notes the store's revision at each interval and, by a compare on one key, at most one of them compacts in
 * an interval, to a revision that it noted two intervals ago or earlier by its own monotonic clock.
 */
import { sleep, type Clock } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import { RevisionCompacted, StoreUnavailable, type Store } from "@pilothouse/store";
import type { Logger } from "@pilothouse/telemetry";
import { COMPACTED_KEY } from "../../cache/load.ts";

const INTERVAL_MS = 5 * 60_000;
/** History of so many intervals is kept. */
const KEPT_INTERVALS = 2;

export interface CompactPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Compacts now and then until the scope closes. */
export function startCompacting({ store, clock, log }: CompactPorts, scope: Scope, intervalMs = INTERVAL_MS): void {
  const keepMs = KEPT_INTERVALS * intervalMs;
  scope.run("compact", async (signal) => {
    const notes: { readonly atMs: number; readonly revision: number }[] = [];
    let seenTurn = 0;
    for (;;) {
      try {
        const { entry, revision } = await store.get(COMPACTED_KEY, { signal });
        const turn = entry?.modRevision ?? 0;
        const due = notes.findLast(({ atMs }) => clock.monotonicMs() - atMs >= keepMs);
        // A key that moved since the last look means that another apiserver had this interval's turn.
        if (due && turn === seenTurn) await compactTo(store, due.revision, turn);
        seenTurn = turn;
        notes.push({ atMs: clock.monotonicMs(), revision });
        if (notes.length > 2 * KEPT_INTERVALS) notes.shift();
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        log.warn("compaction was skipped", { error });
      }
      await sleep(clock, intervalMs, signal);
    }
  });
}

async function compactTo(store: Store, revision: number, turn: number): Promise<void> {
  const { succeeded } = await store.txn({
    compares: [{ key: COMPACTED_KEY, target: "modRevision", equals: turn }],
    then: [{ op: "put", key: COMPACTED_KEY, value: Buffer.from(String(revision)) }],
  });
  if (!succeeded) return;
  try {
    await store.compact(revision);
  } catch (error) {
    if (!(error instanceof RevisionCompacted)) throw error;
  }
}
