/** Those who wait until a feed has reached a revision. */
import { abortReason, type Clock, type Timer } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";

interface Waiter {
  readonly revision: number;
  /** A bookmark was asked for since it waits. */
  hasAsked: boolean;
  readonly resolve: () => void;
}

export interface WaitersOptions {
  readonly clock: Clock;
  readonly scope: Scope;
  /** Somebody waits for longer than `lateMs`. */
  readonly onLate: () => void;
  readonly lateMs: number;
}

export class RevisionWaiters {
  readonly #options: WaitersOptions;
  readonly #waiting = new Set<Waiter>();

  constructor(options: WaitersOptions) {
    this.#options = options;
  }

  /** Resolves at the first `wake` with this revision; rejects when the signal or the scope aborts. */
  add(revision: number, signal?: AbortSignal): Promise<void> {
    const { clock, scope, onLate, lateMs } = this.#options;
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const settle = (finish: () => void) => (): void => {
        this.#waiting.delete(waiter);
        timer?.cancel();
        for (const each of [signal, scope.signal]) each?.removeEventListener("abort", giveUp);
        finish();
      };
      const waiter: Waiter = { revision, hasAsked: false, resolve: settle(resolve) };
      const giveUp = settle(() => reject(abortReason(signal?.aborted ? signal : scope.signal)));
      if (signal?.aborted || scope.signal.aborted) return giveUp();
      for (const each of [signal, scope.signal]) each?.addEventListener("abort", giveUp);
      timer = clock.setTimer(lateMs, onLate);
      this.#waiting.add(waiter);
    });
  }

  /** The feed has reached this revision. */
  wake(revision: number): void {
    for (const waiter of this.#waiting) if (revision >= waiter.revision) waiter.resolve();
  }

  /** True while somebody waits for an answer that is under way. */
  get haveAsked(): boolean {
    return [...this.#waiting].some(({ hasAsked }) => hasAsked);
  }

  /** True while somebody waits who came after the last question. */
  get mustAsk(): boolean {
    return [...this.#waiting].some(({ hasAsked }) => !hasAsked);
  }

  asked(): void {
    for (const waiter of this.#waiting) waiter.hasAsked = true;
  }
}
