/** Wakes all who wait, each time it is raised. */
export class Signal {
  #waiters: ((what: string) => void)[] = [];

  raise(what: string): void {
    for (const wake of this.#waiters.splice(0)) wake(what);
  }

  /** What it was raised with next, or "end" when the signal aborts first. */
  next(signal?: AbortSignal): Promise<string> {
    return new Promise((resolve) => {
      if (signal?.aborted) resolve("end");
      this.#waiters.push(resolve);
      signal?.addEventListener("abort", () => resolve("end"), { once: true });
    });
  }
}
