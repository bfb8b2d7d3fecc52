/**
 * Which revision the cache has reached, who waits for which, and whether it falls behind (C7).
 *
 * All revisions here are resourceVersions. Times are bounds on waiting, never a poll.
 */
import { abortReason, type Clock, type Timer } from "@pilothouse/clock";
import { StatusError } from "@pilothouse/errors";

export const WAIT_BOUND_MS = 3_000;
/** A known revision that has not come for this long means that the stream is broken, whatever it says. */
export const BEHIND_AFTER_MS = 1_000;

export interface GatePorts {
  readonly clock: Clock;
  /** The store's revision, linearizable. */
  readRevision(): Promise<number>;
  /** Called each second for which the cache has missed a known revision. */
  onBehind(): void;
}

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
}

export class RevisionGate {
  readonly #ports: GatePorts;
  readonly #waiters = new Set<Waiter>();
  #revision = 0;
  #known = 0;
  #behindTimer: Timer | undefined;
  #behind = false;
  #reading: Promise<number> | undefined;
  #nextReading: Promise<number> | undefined;

  constructor(ports: GatePorts) {
    this.#ports = ports;
  }

  get revision(): number {
    return this.#revision;
  }

  /** True while a known revision has been missing for a second or more. */
  get behind(): boolean {
    return this.#behind;
  }

  /** The cache holds all up to `revision`, as a whole. */
  advance(revision: number): void {
    this.#revision = revision;
    for (const waiter of this.#waiters) {
      if (waiter.revision > revision) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
    if (revision < this.#known) return;
    this.#behind = false;
    this.#behindTimer?.cancel();
    this.#behindTimer = undefined;
  }

  /** Somebody knows that the store has reached `revision`. */
  learn(revision: number): void {
    this.#known = Math.max(this.#known, revision);
    if (this.#known > this.#revision) this.#behindTimer ??= this.#armBehind();
  }

  /**
   * The store's revision, read after this call: callers share the next read, never one in flight, which might have been
   * answered before the caller's own cause.
   */
  async currentRevision(): Promise<number> {
    if (!this.#reading) return this.#read();
    this.#nextReading ??= this.#reading.then(
      () => this.#read(),
      () => this.#read(),
    );
    return this.#nextReading;
  }

  /** Resolves when the revision is reached; throws upstream's 504 after 3 s. */
  waitFor(revision: number, signal?: AbortSignal): Promise<void> {
    if (revision <= this.#revision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (done: () => void): void => {
        this.#waiters.delete(waiter);
        timer.cancel();
        signal?.removeEventListener("abort", onAbort);
        done();
      };
      const onAbort = (): void => settle(() => reject(abortReason(signal as AbortSignal)));
      const timer = this.#ports.clock.setTimer(WAIT_BOUND_MS, () =>
        settle(() => reject(tooLargeResourceVersion(revision, this.#revision))),
      );
      const waiter: Waiter = { revision, resolve: () => settle(resolve) };
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
      if (signal?.aborted) onAbort();
    });
  }

  close(): void {
    this.#behindTimer?.cancel();
  }

  #read(): Promise<number> {
    const reading = this.#ports.readRevision();
    this.#reading = reading;
    this.#nextReading = undefined;
    const forget = (): void => {
      if (this.#reading === reading && !this.#nextReading) this.#reading = undefined;
    };
    reading.then((revision) => this.learn(revision)).then(forget, forget);
    return reading;
  }

  #armBehind(): Timer {
    return this.#ports.clock.setTimer(BEHIND_AFTER_MS, () => {
      this.#behindTimer = undefined;
      if (this.#known <= this.#revision) return;
      this.#behind = true;
      this.#ports.onBehind();
      this.#behindTimer = this.#armBehind();
    });
  }
}

/** What a client gets that asks for a revision which the cache did not reach in time. */
export function tooLargeResourceVersion(asked: number, current: number): StatusError {
  return new StatusError(504, "Timeout", `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });
}

export function isTooLargeResourceVersion(error: unknown): boolean {
  return (
    error instanceof StatusError &&
    error.status.details?.causes?.some(({ reason }) => reason === "ResourceVersionTooLarge") === true
  );
}
