/** How long a Job waits before it replaces pods that failed: 10 s, doubling with each failure since the last success. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { finishedAtMs } from "./rules-tracking.ts";

const FIRST_MS = 10_000;
const MAX_MS = 600_000;

export interface BackoffRecord {
  readonly failuresAfterLastSuccess: number;
  readonly lastFailureMs: number;
}

export const NO_FAILURES: BackoffRecord = { failuresAfterLastSuccess: 0, lastFailureMs: 0 };

/** What is known after these pods ended; a success begins the count anew. */
export function nextBackoff(before: BackoffRecord, succeeded: readonly Pod[], failed: readonly Pod[]): BackoffRecord {
  const lastSuccessMs = Math.max(...succeeded.map(finishedAtMs));
  const failures = failed.map(finishedAtMs).filter((atMs) => atMs > lastSuccessMs);
  const earlier = succeeded.length === 0 ? before : NO_FAILURES;
  return {
    failuresAfterLastSuccess: earlier.failuresAfterLastSuccess + failures.length,
    lastFailureMs: Math.max(earlier.lastFailureMs, ...failures),
  };
}

/** From now until the next pod may be made; 0 when it may be made now. */
export function remainingMs({ failuresAfterLastSuccess, lastFailureMs }: BackoffRecord, nowMs: number): number {
  if (failuresAfterLastSuccess === 0) return 0;
  const backoffMs = Math.min(MAX_MS, FIRST_MS * 2 ** (failuresAfterLastSuccess - 1));
  return Math.max(0, lastFailureMs + backoffMs - nowMs);
}
