/** Wakes watchers 64 a turn of the event loop, so that a change which 1,000 watch does not stall what else is served. */
import type { Clock } from "@pilothouse/clock";

export const WATCHERS_A_TURN = 64;

export class FanOut {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();
  #running = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `run` is called once soon, however often it is woken until then. The first 64 are called within this turn. */
  wake(run: () => void): void {
    this.#waiting.add(run);
    if (this.#running) return;
    this.#running = true;
    void this.#drain();
  }

  async #drain(): Promise<void> {
    await Promise.resolve();
    while (this.#waiting.size > 0) {
      let left = WATCHERS_A_TURN;
      for (const run of this.#waiting) {
        if (left-- === 0) break;
        this.#waiting.delete(run);
        run();
      }
      if (this.#waiting.size > 0) await this.#clock.turn();
    }
    this.#running = false;
  }
}
