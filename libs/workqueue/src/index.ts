/**
 * The one queue between hearing of a change and acting on it. It carries keys, never events.
 *
 * Promises, as client-go's work queue:
 * - Fair: keys leave in the order in which they came.
 * - Stingy: a key is never handed to two workers at once, and one that is added many times before it is taken is taken once.
 * - Nothing is forgotten: a key added while it is being worked on is taken again after `done`.
 * - `retry` waits 5 ms, doubling with each retry of that key up to 1000 s, until `forget`; `addAfter` waits as told.
 * - Each key carries what caused it: the first cause becomes the parent of the work, up to 7 more become its links, and
 *   taking the key ends a span that names how long it waited and for what.
 *
 * Does not promise: that a key survives the process (a reconciler starts from a whole list), or any order between keys after a retry.
 * Limits: `maxKeys` keys waiting in all (default 1,000,000); beyond, `add` refuses, returns false and counts it.
 */
import type { Clock, Timer } from "@pilothouse/clock";
import type { TraceContext, Tracer } from "@pilothouse/telemetry";

export interface WorkQueueOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly tracer: Tracer;
  readonly baseDelayMs?: number;
  readonly maxDelayMs?: number;
  readonly maxKeys?: number;
}

export interface WorkItem {
  readonly key: string;
  /** The span of the wait in the queue: the parent of the work. Undefined when nobody named a cause. */
  readonly parent: TraceContext | undefined;
  /** Causes beyond the first. */
  readonly links: readonly TraceContext[];
  readonly waitedMs: number;
}

/** Why a key was not taken at once: its turn had not come, it was told to wait, or it failed before. */
type Wait = "queue" | "delay" | "backoff";

interface Entry {
  /** Wall clock. */
  readonly addedAtMs: number;
  readonly wait: Wait;
  readonly causes: readonly TraceContext[];
}

interface Delayed extends Entry {
  readonly dueMs: number;
  readonly timer: Timer;
}

const MAX_CAUSES = 8;

export class WorkQueue {
  readonly name: string;
  readonly #clock: Clock;
  readonly #tracer: Tracer;
  readonly #baseDelayMs: number;
  readonly #maxDelayMs: number;
  readonly #maxKeys: number;
  /** To be taken, in order. */
  readonly #ready = new Map<string, Entry>();
  /** Taken and not done. */
  readonly #processing = new Set<string>();
  /** Added while processing. */
  readonly #again = new Map<string, Entry>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((item: WorkItem | undefined) => void)[] = [];
  #refused = 0;
  #shutDown = false;

  constructor(options: WorkQueueOptions) {
    this.name = options.name;
    this.#clock = options.clock;
    this.#tracer = options.tracer;
    this.#baseDelayMs = options.baseDelayMs ?? 5;
    this.#maxDelayMs = options.maxDelayMs ?? 1_000_000;
    this.#maxKeys = options.maxKeys ?? 1_000_000;
  }

  /** Keys to be taken; those that wait for their time not counted. */
  get length(): number {
    return this.#ready.size;
  }

  /** Keys that wait for their time. */
  get delayed(): number {
    return this.#delayed.size;
  }

  /** Keys refused because the queue was full. */
  get refused(): number {
    return this.#refused;
  }

  /** True when nothing is to be taken, waits or is being worked on. */
  get idle(): boolean {
    return this.#ready.size + this.#processing.size + this.#delayed.size === 0;
  }

  /** Marks the key as in need of work. False when the queue is full or shut down. */
  add(key: string, cause?: TraceContext): boolean {
    return this.#enqueue(key, { addedAtMs: this.#clock.now(), wait: "queue", causes: cause ? [cause] : [] });
  }

  /** As `add`, after `delayMs`. A key that already waits comes at the earlier of both times. */
  addAfter(key: string, delayMs: number, cause?: TraceContext): boolean {
    return this.#addAfter(key, delayMs, "delay", cause ? [cause] : []);
  }

  /** As `addAfter` with this key's next back-off, carrying on the causes of the work that failed. Returns the delay. */
  retry(key: string, causes: readonly TraceContext[] = []): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const delayMs = Math.min(this.#maxDelayMs, this.#baseDelayMs * 2 ** Math.min(failures, 60));
    this.#addAfter(key, delayMs, "backoff", causes);
    return delayMs;
  }

  /** The key's back-off starts from the beginning again. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** How often the key was retried since it was last forgotten. */
  retries(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key; waits for one. Undefined once the queue is shut down. Call `done` when the work is over. */
  take(): Promise<WorkItem | undefined> {
    if (this.#shutDown) return Promise.resolve(undefined);
    const item = this.#next();
    return item ? Promise.resolve(item) : new Promise((resolve) => this.#takers.push(resolve));
  }

  /** The work on a taken key is over, well or not. */
  done(key: string): void {
    this.#processing.delete(key);
    const again = this.#again.get(key);
    if (!again) return;
    this.#again.delete(key);
    this.#enqueue(key, again);
  }

  /** Ends all waits: `take` gives undefined, `add` is refused, timers are gone. */
  shutDown(): void {
    this.#shutDown = true;
    for (const { timer } of this.#delayed.values()) timer.cancel();
    for (const keys of [this.#ready, this.#again, this.#delayed, this.#failures]) keys.clear();
    for (const resolve of this.#takers.splice(0)) resolve(undefined);
  }

  #addAfter(key: string, delayMs: number, wait: Wait, causes: readonly TraceContext[]): boolean {
    const entry: Entry = { addedAtMs: this.#clock.now(), wait, causes };
    if (delayMs <= 0) return this.#enqueue(key, entry);
    const before = this.#delayed.get(key);
    if (!before && !this.#hasRoom()) return false;
    const dueMs = this.#clock.monotonicMs() + delayMs;
    const merged = before ? merge(before, entry) : entry;
    if (before && before.dueMs <= dueMs) {
      this.#delayed.set(key, { ...merged, dueMs: before.dueMs, timer: before.timer });
      return true;
    }
    before?.timer.cancel();
    this.#delayed.set(key, { ...merged, dueMs, timer: this.#clock.setTimer(delayMs, () => this.#comeDue(key)) });
    return true;
  }

  #comeDue(key: string): void {
    const delayed = this.#delayed.get(key);
    this.#delayed.delete(key);
    if (delayed) this.#enqueue(key, delayed);
  }

  #enqueue(key: string, entry: Entry): boolean {
    const waiting = this.#processing.has(key) ? this.#again : this.#ready;
    const before = waiting.get(key);
    if (!before && !this.#hasRoom()) return false;
    waiting.set(key, before ? merge(before, entry) : entry);
    if (waiting === this.#ready && this.#takers.length > 0) this.#takers.shift()?.(this.#next());
    return true;
  }

  #hasRoom(): boolean {
    if (this.#shutDown) return false;
    if (this.#ready.size + this.#again.size + this.#delayed.size < this.#maxKeys) return true;
    this.#refused++;
    return false;
  }

  #next(): WorkItem | undefined {
    for (const [key, entry] of this.#ready) {
      this.#ready.delete(key);
      this.#processing.add(key);
      return this.#taken(key, entry);
    }
    return undefined;
  }

  #taken(key: string, { addedAtMs, wait, causes: [first, ...links] }: Entry): WorkItem {
    const waitedMs = Math.max(0, this.#clock.now() - addedAtMs);
    if (!first) return { key, parent: undefined, links: [], waitedMs };
    const attributes = { queue: this.name, key, wait, "wait.ms": waitedMs, retries: this.retries(key) };
    const waited = this.#tracer.start(`${this.name} ${wait}`, {
      parent: first,
      links,
      attributes,
      startTimeMs: addedAtMs,
      kind: "consumer",
    });
    waited.end();
    return { key, parent: waited.context, links, waitedMs };
  }
}

/** One entry for two reasons to work: the earlier's time, both causes. */
function merge(first: Entry, second: Entry): Entry {
  const known = new Set(first.causes.map(({ spanId }) => spanId));
  const causes = [...first.causes, ...second.causes.filter(({ spanId }) => !known.has(spanId))];
  return { addedAtMs: first.addedAtMs, wait: first.wait, causes: causes.slice(0, MAX_CAUSES) };
}
