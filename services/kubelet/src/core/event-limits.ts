/** How many events of one thing are told: upstream's limits on what a client sends. Pure; times are epoch milliseconds. */

const BURST = 25;
const REFILL_MS = 300_000;
const SIMILAR = 10;
const SIMILAR_MS = 600_000;
/** Of things that are remembered; beyond that all is forgotten, and told a little more. */
const MAX_KNOWN = 4_096;

/** Of one thing 25 events at once, and then one in five minutes. */
export class SpamFilter {
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  admits(subject: string, nowMs: number): boolean {
    if (this.#buckets.size >= MAX_KNOWN) this.#buckets.clear();
    const { tokens, atMs } = this.#buckets.get(subject) ?? { tokens: BURST, atMs: nowMs };
    const filled = Math.min(BURST, tokens + Math.max(0, nowMs - atMs) / REFILL_MS);
    const admitted = filled >= 1;
    this.#buckets.set(subject, { tokens: admitted ? filled - 1 : filled, atMs: nowMs });
    return admitted;
  }
}

/** What an event is counted under, and what it says. */
export interface Combined {
  readonly key: string;
  readonly message: string;
}

/** Ten messages of one kind about one thing within ten minutes are ten events; those that follow are one, with the newest message. */
export class Aggregator {
  readonly #groups = new Map<string, { messages: Set<string>; atMs: number }>();

  /** @param group what is alike about them: the thing, the type and the reason */
  combine(group: string, message: string, nowMs: number): Combined {
    if (this.#groups.size >= MAX_KNOWN) this.#groups.clear();
    const known = this.#groups.get(group);
    const { messages } = known && nowMs - known.atMs <= SIMILAR_MS ? known : { messages: new Set<string>() };
    this.#groups.set(group, { messages: messages.add(message), atMs: nowMs });
    if (messages.size < SIMILAR) return { key: JSON.stringify([group, message]), message };
    const [oldest] = messages;
    if (oldest !== undefined) messages.delete(oldest);
    return { key: group, message: `(combined from similar events): ${message}` };
  }
}
