/** Keeps the records of one run: who asked what and when, and what was shown. */
import type { Clock } from "@pilothouse/clock";
import type { History, List, Operation, Truth, WatchStream } from "./history.ts";

const LEAST_STEP_MS = 0.001;

export class Recorder {
  readonly #clock: Clock;
  readonly #operations: Operation[] = [];
  readonly #lists: List[] = [];
  readonly #watches: WatchStream[] = [];
  /** Equal texts are kept once. */
  readonly #texts = new Map<string, string>();
  #lastMs = 0;
  #ids = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The instant of what happens now; never the same twice. */
  instant(): number {
    this.#lastMs = Math.max(this.#clock.monotonicMs(), this.#lastMs + LEAST_STEP_MS);
    return this.#lastMs;
  }

  nextId(): number {
    return ++this.#ids;
  }

  text(text: string): string {
    const known = this.#texts.get(text);
    if (known === undefined) this.#texts.set(text, text);
    return known ?? text;
  }

  operation(operation: Operation): void {
    this.#operations.push(operation);
  }

  list(list: List): void {
    this.#lists.push(list);
  }

  watch(stream: WatchStream): void {
    this.#watches.push(stream);
  }

  /** All that has come to an end. */
  history(truth?: Truth): History {
    const { operations, lists, watches } = { operations: this.#operations, lists: this.#lists, watches: this.#watches };
    return { operations, lists, watches, ...(truth ? { truth } : {}) };
  }
}
