/** Lines that wait a moment for each other: a write to the system for each one costs more than making it. */
import type { Clock, Timer } from "@pilothouse/clock";

export interface LineBufferOptions {
  readonly clock: Clock;
  /** Takes any number of whole lines. */
  readonly write: (lines: string) => void;
}

/** No line waits longer. */
const DELAY_MS = 100;
const MAX_CHARACTERS = 16_384;

/**
 * Promises: all lines in their order; none waits longer than 100 ms, nor for more than 16 Ki characters of others. What must
 * outlive the process is flushed by its owner.
 */
export class LineBuffer {
  readonly #options: LineBufferOptions;
  #lines = "";
  #timer: Timer | undefined;

  constructor(options: LineBufferOptions) {
    this.#options = options;
  }

  write(line: string): void {
    this.#lines += line;
    if (this.#lines.length >= MAX_CHARACTERS) this.flush();
    else this.#timer ??= this.#options.clock.setTimer(DELAY_MS, () => this.flush());
  }

  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const lines = this.#lines;
    this.#lines = "";
    if (lines !== "") this.#options.write(lines);
  }
}
