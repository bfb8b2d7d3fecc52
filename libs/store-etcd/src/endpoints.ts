/** Which endpoint to ask next: pure, with time as a value. The order of the endpoints is the order of preference. */
const FIRST_PENALTY_MS = 1_000;
const LONGEST_PENALTY_MS = 15_000;

interface Standing {
  failures: number;
  avoidUntilMs: number;
}

export class EndpointChoice {
  readonly #standings: Standing[];

  constructor(count: number) {
    this.#standings = Array.from({ length: count }, () => ({ failures: 0, avoidUntilMs: 0 }));
  }

  /** The first endpoint without a penalty, not `except` if another will do; else the one whose penalty ends first. */
  pick(nowMs: number, except?: number): number {
    const wait = (i: number): number => Math.max(0, (this.#standings[i]?.avoidUntilMs ?? 0) - nowMs);
    const rank = (i: number): number => wait(i) + (i === except ? LONGEST_PENALTY_MS * 2 : 0);
    return [...this.#standings.keys()].reduce((best, i) => (rank(i) < rank(best) ? i : best), 0);
  }

  failed(endpoint: number, nowMs: number): void {
    const standing = this.#standings[endpoint];
    if (!standing) return;
    const penaltyMs = Math.min(FIRST_PENALTY_MS * 2 ** standing.failures, LONGEST_PENALTY_MS);
    standing.failures++;
    standing.avoidUntilMs = nowMs + penaltyMs;
  }

  worked(endpoint: number): void {
    this.#standings[endpoint] = { failures: 0, avoidUntilMs: 0 };
  }
}
