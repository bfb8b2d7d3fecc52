/**
 * A world: virtual time, chance from a seed, and one event after the other.
 *
 * Promises: between two events every promise that can settle has settled (one real turn of the event loop drains them); the
 * same seed gives the same events in the same order, and so the same digest, on any machine. Events due at the same time
 * come in an order that the seed decides.
 * Does not promise: anything if code inside reaches for ambient time, chance or I/O; traps.ts makes that an error.
 */
import { createHash } from "node:crypto";
import type { Clock, Random, Timer } from "@pilothouse/clock";
import { seededRandom } from "@pilothouse/clock/seeded";
import { Heap } from "./heap.ts";
import { inWorld } from "./traps.ts";

/** The wall clock's reading when a world begins. */
export const WORLD_BEGINS_MS = Date.UTC(2026, 0, 1);

export interface StoryLine {
  readonly atMs: number;
  readonly who: string;
  readonly what: string;
}

interface Event {
  readonly atMs: number;
  /** Orders events of the same time, by the seed. */
  readonly tie: number;
  readonly sequence: number;
  readonly what: string;
  readonly run: () => void;
  cancelled: boolean;
}

/** What happened contrary to what must hold, with its time. */
export class Violation extends Error {
  override readonly name = "Violation";
}

export class World {
  readonly seed: string;
  readonly random: Random;
  /** What a person wants to read when a run fails; part of the digest. */
  readonly story: StoryLine[] = [];
  /** How often what a world is made to show came true, by name: a fault that never does is no fault. */
  readonly counts = new Map<string, number>();
  /** Time for what is on no machine: the store's cluster, the wires. */
  readonly clock: Clock;
  /** Called after each event; throws a Violation when something is not as it must be. */
  check: () => void = () => undefined;
  #nowMs = 0;
  #steps = 0;
  #sequence = 0;
  #failure: unknown;
  readonly #ties: Random;
  readonly #digest = createHash("sha256");
  #lines: string[] = [];
  readonly #events = new Heap<Event>(isBefore);
  readonly #turns = new Turns();

  constructor(seed: string) {
    this.seed = seed;
    this.random = seededRandom(`pilothouse/${seed}`);
    this.#ties = this.random.fork("ties");
    this.clock = {
      now: () => WORLD_BEGINS_MS + this.#nowMs,
      monotonicMs: () => this.#nowMs,
      setTimer: (delayMs, run) => this.at(delayMs, "timer", run),
      turn: () => new Promise((resolve) => void this.at(0, "turn", resolve)),
    };
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get steps(): number {
    return this.#steps;
  }

  /** Runs `run` after `delayMs` of virtual time, as an event of its own. */
  at(delayMs: number, what: string, run: () => void): Timer {
    const event: Event = {
      atMs: this.#nowMs + Math.ceil(Math.max(0, delayMs) * TICKS_PER_MS) / TICKS_PER_MS,
      tie: this.#ties.next(),
      sequence: this.#sequence++,
      what,
      run,
      cancelled: false,
    };
    this.#events.push(event);
    return { cancel: () => void (event.cancelled = true) };
  }

  /** One line of the story, and of the digest. */
  tell(who: string, what: string): void {
    this.story.push({ atMs: this.#nowMs, who, what });
    this.#note(`${who}: ${what}`);
  }

  /** `what` came true once more. */
  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** Ends the run with this error after the present event. */
  fail(error: unknown): void {
    this.#failure ??= error;
  }

  /** Runs all events up to `untilMs`, or until `isOver` says so. Throws the first violation. */
  async run(untilMs: number, isOver: () => boolean = () => false): Promise<void> {
    await this.#turns.next();
    while (!isOver()) {
      const next = this.#events.peek();
      if (!next || next.atMs > untilMs) {
        this.#nowMs = untilMs;
        return;
      }
      this.#events.pop();
      if (next.cancelled) continue;
      this.#nowMs = next.atMs;
      if (++this.#steps > MAX_STEPS) throw new Violation(`${MAX_STEPS} steps and no end: ${next.what}`);
      this.#note(next.what);
      inWorld(next.run);
      await this.#turns.next();
      this.check();
      if (this.#failure !== undefined) throw this.#failure;
    }
  }

  /** Of all events so far and of what the run stood on: the same twice, on any machine (C18). */
  digest(): string {
    this.#flush();
    return this.#digest.copy().update(`${RUNTIME}\n`).digest("hex");
  }

  #note(line: string): void {
    this.#lines.push(`${this.#nowMs} ${line}\n`);
    if (this.#lines.length >= LINES_AT_ONCE) this.#flush();
  }

  #flush(): void {
    this.#digest.update(this.#lines.join(""));
    this.#lines = [];
  }
}

const { node, icu, tz, unicode } = process.versions as Readonly<Record<string, string>>;
/** What a run stands on: other versions of these may give another digest (C18). */
export const RUNTIME = `node ${node}, icu ${icu}, time zones ${tz}, unicode ${unicode}`;

const LINES_AT_ONCE = 1_000;
const MAX_STEPS = 5_000_000;
/** A power of two, so that sums and differences of times are exact and a wait is never a rounding error. */
const TICKS_PER_MS = 1_024;

function isBefore(a: Event, b: Event): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs;
  if (a.tie !== b.tie) return a.tie < b.tie;
  return a.sequence < b.sequence;
}

/**
 * Turns of the real event loop: after one, all that can settle has settled. The runtime drains all promises between two
 * immediates, so immediates are queued many at once: going round the loop for each costs more than most steps.
 */
class Turns {
  #queued = 0;
  #wake: () => void = () => undefined;

  next(): Promise<void> {
    if (this.#queued === 0) {
      this.#queued = TURNS_AT_ONCE;
      for (let i = 0; i < TURNS_AT_ONCE; i++) setImmediate(() => this.#pass());
    }
    return new Promise((resolve) => (this.#wake = resolve));
  }

  #pass(): void {
    this.#queued--;
    this.#wake();
  }
}

const TURNS_AT_ONCE = 64;
