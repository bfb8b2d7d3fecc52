/** How many images are brought at the same time: who comes later waits its turn. */
export class PullSlots {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  /** @param most 0 = as many as there are to bring */
  constructor(most: number) {
    this.#most = most === 0 ? Number.POSITIVE_INFINITY : most;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#taken < this.#most) this.#taken++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      // The place is handed on, or free.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#taken--;
    }
  }
}
