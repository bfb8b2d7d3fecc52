/** How long a pod that has failed is left before it is made again, by node: twice as long each time. */
const FIRST_MS = 1_000;
const MOST_MS = 15 * 60_000;
/** After so long without a failure a node has a clean slate. */
const FORGOTTEN_AFTER_MS = 2 * MOST_MS;

interface Failure {
  readonly atMs: number;
  readonly waitMs: number;
}

/** It lives as long as the leadership: a new leader tries at once. */
export class Failures {
  readonly #byKey = new Map<string, Failure>();

  /** Until when what failed for this key is left; 0 when nothing is known of it. */
  untilMs(key: string, nowMs: number): number {
    const failure = this.#known(key, nowMs);
    return failure ? failure.atMs + failure.waitMs : 0;
  }

  failed(key: string, nowMs: number): void {
    const known = this.#known(key, nowMs);
    this.#byKey.set(key, { atMs: nowMs, waitMs: known ? Math.min(MOST_MS, 2 * known.waitMs) : FIRST_MS });
    for (const [other, { atMs }] of this.#byKey) if (nowMs - atMs > FORGOTTEN_AFTER_MS) this.#byKey.delete(other);
  }

  #known(key: string, nowMs: number): Failure | undefined {
    const failure = this.#byKey.get(key);
    return failure && nowMs - failure.atMs <= FORGOTTEN_AFTER_MS ? failure : undefined;
  }
}
