/** How often what worlds are made to show came true, over many seeds. */
export class Coverage {
  readonly #counts = new Map<string, { seeds: number; times: number }>();

  add(counts: ReadonlyMap<string, number>): void {
    for (const [what, times] of counts) {
      const known = this.#counts.get(what) ?? { seeds: 0, times: 0 };
      this.#counts.set(what, { seeds: known.seeds + 1, times: known.times + times });
    }
  }

  /** Those of `wanted` that no seed has shown. */
  missing(wanted: readonly string[]): string[] {
    return wanted.filter((what) => !this.#counts.has(what));
  }

  text(): string {
    return [...this.#counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, { seeds, times }]) => `${what.padEnd(22)} ${String(times).padStart(7)} times, ${seeds} seeds`)
      .join("\n");
  }
}

/** What the first seeds must show: a fault that never comes true proves nothing. */
export const SHOWN: readonly string[] = [
  "requestLost",
  "replyLost",
  "streamCut",
  "messageLost",
  "messageDoubled",
  "messageLate",
  "partitioned",
  "frozen",
  "behind",
  "lag",
  "memberLag",
  "storeRequestLost",
  "storeReplyLost",
  "storeRefused",
  "storeWatchBreaks",
  "committedUnanswered",
  "leaseLost",
  "compacted",
  "reloaded",
  "whole batch",
  "list of pages",
  "watch event",
  "watch ended by 410",
  "request done",
  "request refused",
  "request unknown",
];
