/** The pause before a failed container starts again: 10 s, doubling to 5 min, forgotten after 10 min of peace. Pure. */
export interface Backoff {
  readonly delayMs: number;
  /** When the last start was granted. */
  readonly sinceMs: number;
}

export const INITIAL_MS = 10_000;
export const MAX_MS = 300_000;
const FORGET_MS = 2 * MAX_MS;

/** How long a container that ended at `finishedAtMs` must still wait; 0 = it may start now. */
export function remainingMs(backoff: Backoff | undefined, finishedAtMs: number, nowMs: number): number {
  if (!backoff || finishedAtMs - backoff.sinceMs > FORGET_MS) return 0;
  return Math.max(0, finishedAtMs + backoff.delayMs - nowMs);
}

/** The back-off after one more start, for a container that last ended at `finishedAtMs`. */
export function nextBackoff(backoff: Backoff | undefined, finishedAtMs: number, nowMs: number): Backoff {
  const fresh = !backoff || finishedAtMs - backoff.sinceMs > FORGET_MS;
  return { delayMs: fresh ? INITIAL_MS : Math.min(MAX_MS, backoff.delayMs * 2), sinceMs: nowMs };
}

/** `10s`, `1m20s`, `5m0s`: as Go prints durations. */
export function goDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
