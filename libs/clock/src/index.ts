/**
 * Time, randomness and ids, as ports.
 *
 * Purpose: nothing in Pilothouse asks the machine what time it is, waits, or rolls dice except through these three, so
 * that the whole control plane can run on virtual time and replay from a seed.
 * Promises: `monotonicMs` never goes back; timers fire once, in order of their due time; a cancelled timer never fires.
 * Does not promise: that `now()` agrees between machines, or that a timer fires on time under load.
 */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. For what users see (timestamps); never for measuring. */
  now(): number;
  /** Milliseconds from an arbitrary start; for durations, deadlines and elections. */
  monotonicMs(): number;
  /** Calls `run` once after `delayMs`. */
  setTimer(delayMs: number, run: () => void): Timer;
  /** Gives the event loop a turn: I/O that is ready is served before the promise resolves. */
  turn(): Promise<void>;
}

export interface Timer {
  cancel(): void;
}

export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** A stream of its own, a function of this stream's seed and the name only: a new draw elsewhere shifts nothing here. */
  fork(name: string): Random;
}

export interface Ids {
  /** An RFC 4122 version 4 UUID, lower case. */
  uuid(): string;
}

/** What every process needs of time and chance, in one bundle. */
export interface TimeAndChance {
  readonly clock: Clock;
  readonly random: Random;
  readonly ids: Ids;
}

/** Resolves after `delayMs`, or rejects with the signal's reason as soon as it aborts. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortReason(signal));
      return;
    }
    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    const onAbort = (): void => {
      timer.cancel();
      reject(abortReason(signal as AbortSignal));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Settles as `work` does, or rejects with `DeadlineExceeded` after `deadlineMs`. The work itself is not stopped. */
export function withDeadline<T>(clock: Clock, deadlineMs: number, what: string, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(deadlineMs, () => reject(new DeadlineExceeded(what, deadlineMs)));
    work.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}

export class DeadlineExceeded extends Error {
  override readonly name = "DeadlineExceeded";
  constructor(what: string, deadlineMs: number) {
    super(`${what}: no answer within ${deadlineMs} ms`);
  }
}

/** The reason of an aborted signal as an Error. */
export function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error("aborted");
}
