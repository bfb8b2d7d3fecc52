/**
 * A store whose client has a bad network and lagging members: wraps any store, for the simulation and for tests.
 *
 * Every misfortune is decided by the `StoreFaults` port, so that a seed decides it. Each client gets a wrapper of its own
 * over one truth; closing it leaves the truth open. False progress answers have no place here, for the port has no progress:
 * an adapter that believed them would break the watch promises, which are checked on real etcd.
 */
import { sleep } from "@pilothouse/clock";
import type { Clock, Timer } from "@pilothouse/clock";
import { RevisionCompacted, StoreUnavailable } from "./index.ts";
import type { GetResult, RangePage, ReadOptions, Store, StoreChange, StoreWatch, WatchOptions } from "./index.ts";
import { storeLimits } from "./limits.ts";

export type StoreCall = Exclude<keyof Store, "watch" | "close">;

export interface CallFate {
  /** Until the request reaches the store. */
  readonly outMs: number;
  /** Until the answer is back. */
  readonly backMs: number;
  /**
   * `requestLost`: not done, and nobody answers. `replyLost`: done, and nobody answers. `refused`: no connection, so surely not
   * done. Silence lasts until the call's deadline.
   */
  readonly end: "answered" | "requestLost" | "replyLost" | "refused";
}

export interface StoreFaults {
  call(call: StoreCall, member: number): CallFate;
  /** How long a member's watch holds these changes back. Order is kept. */
  watchLagMs(member: number): number;
  /** True if the stream breaks instead of delivering this batch. */
  breaksWatch(member: number): boolean;
  /** By how many revisions a member's serializable reads are behind. */
  staleRevisions(member: number): number;
  /** True if the lease ends now, although it is being kept alive. */
  losesLease(leaseId: string): boolean;
}

export interface FaultyStoreOptions {
  readonly clock: Clock;
  readonly faults: StoreFaults;
  /** Members of the store's cluster; a client turns to the next one when its watch breaks. Default 1. */
  readonly members?: number;
}

/** No misfortune at all; spread it and replace what a test is about. */
export const noFaults: StoreFaults = {
  call: () => ({ outMs: 0, backMs: 0, end: "answered" }),
  watchLagMs: () => 0,
  breaksWatch: () => false,
  staleRevisions: () => 0,
  losesLease: () => false,
};

const RESUME_AFTER_MS = 50;

export function faultyStore(truth: Store, { clock, faults, members = 1 }: FaultyStoreOptions): Store {
  const watches = new Set<FaultyWatch>();
  let member = 0;

  const suffer = async <T>(
    call: StoreCall,
    work: () => Promise<T>,
    deadlineMs: number = storeLimits.transactionDeadlineMs,
  ): Promise<T> => {
    const fate = faults.call(call, member);
    if (fate.end === "refused") throw new StoreUnavailable(`${call}: no connection`, "none");
    if (fate.outMs > 0) await sleep(clock, fate.outMs);
    const answer = fate.end === "requestLost" ? undefined : await work();
    if (fate.end === "answered" && answer !== undefined) {
      if (fate.backMs > 0) await sleep(clock, fate.backMs);
      return answer;
    }
    await sleep(clock, deadlineMs);
    throw new StoreUnavailable(`${call}: no answer within ${deadlineMs} ms`, call === "txn" ? "unknown" : "none");
  };

  const done = async (work: Promise<void>): Promise<true> => {
    await work;
    return true;
  };

  /** Reads at the older revision that a lagging member would have. */
  const read = async <T extends GetResult | RangePage>(
    options: ReadOptions,
    at: (revision?: number) => Promise<T>,
  ): Promise<T> => {
    const stale = options.serializable && options.revision === undefined ? faults.staleRevisions(member) : 0;
    if (stale === 0) return at(options.revision);
    const revision = Math.max(1, (await truth.revision()) - stale);
    try {
      return { ...(await at(revision)), revision };
    } catch (error) {
      if (error instanceof RevisionCompacted) return at();
      throw error;
    }
  };

  return {
    revision: (signal) => suffer("revision", () => truth.revision(signal)),
    get: (key, options = {}) =>
      suffer("get", () => read(options, (revision) => truth.get(key, withRevision(options, revision)))),
    range: (range, options = {}) =>
      suffer("range", () => read(options, (revision) => truth.range(range, withRevision(options, revision)))),
    txn: (txn) => suffer("txn", () => truth.txn(txn), txn.deadlineMs),
    compact: (revision) => suffer("compact", () => done(truth.compact(revision))).then(() => undefined),
    grantLease: (ttlSeconds) => suffer("grantLease", () => truth.grantLease(ttlSeconds)),
    keepLeaseAlive: (leaseId) =>
      suffer("keepLeaseAlive", async () => {
        if (faults.losesLease(leaseId)) await truth.revokeLease(leaseId).catch(() => undefined);
        return truth.keepLeaseAlive(leaseId);
      }),
    revokeLease: (leaseId) => suffer("revokeLease", () => done(truth.revokeLease(leaseId))).then(() => undefined),
    watch(options) {
      const watch: FaultyWatch = new FaultyWatch(truth, clock, options, {
        lagMs: () => faults.watchLagMs(member),
        breaks: () => faults.breaksWatch(member),
        nextMember: () => void (member = (member + 1) % members),
        forget: () => watches.delete(watch),
      });
      watches.add(watch);
      return watch;
    },
    async close() {
      for (const watch of watches) watch.end();
    },
  };
}

interface WatchFaults {
  lagMs(): number;
  breaks(): boolean;
  nextMember(): void;
  forget(): void;
}

class FaultyWatch implements StoreWatch {
  readonly #truth: Store;
  readonly #clock: Clock;
  readonly #options: WatchOptions;
  readonly #faults: WatchFaults;
  /** Timers of batches under way, and of the next dial. */
  readonly #timers = new Set<Timer>();
  /** Batches under way, oldest first: timers of one time may fire in any order, batches keep theirs. */
  #batches: (readonly StoreChange[])[] = [];
  #stream: StoreWatch | undefined;
  #nextRevision: number;
  /** No batch arrives before this time: the one before it does not. */
  #freeMs = 0;
  #closed = false;

  constructor(truth: Store, clock: Clock, options: WatchOptions, faults: WatchFaults) {
    this.#truth = truth;
    this.#clock = clock;
    this.#options = options;
    this.#faults = faults;
    this.#nextRevision = options.startRevision;
    this.#dial();
  }

  close(): void {
    this.#closed = true;
    this.#drop();
    this.#faults.forget();
  }

  end(): void {
    if (this.#closed) return;
    this.close();
    this.#options.onEnd({ reason: "closed" });
  }

  reconnect(): void {
    if (this.#closed) return;
    this.#faults.nextMember();
    this.#drop();
    this.#after(RESUME_AFTER_MS, () => this.#dial());
    this.#options.onHealth?.(false);
  }

  #dial(): void {
    this.#stream = this.#truth.watch({
      range: this.#options.range,
      startRevision: this.#nextRevision,
      withPrevious: this.#options.withPrevious ?? false,
      onChanges: (changes) => this.#receive(changes),
      onEnd: (cause) => {
        this.close();
        this.#options.onEnd(cause);
      },
    });
    this.#options.onHealth?.(true);
  }

  #receive(changes: readonly StoreChange[]): void {
    if (this.#faults.breaks()) {
      this.reconnect();
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    this.#freeMs = Math.max(this.#freeMs, nowMs + this.#faults.lagMs());
    this.#batches.push(changes);
    this.#after(this.#freeMs - nowMs, () => {
      const changes = this.#batches.shift();
      const last = changes?.at(-1);
      if (!changes || !last) return;
      this.#nextRevision = (last.type === "put" ? last.entry.modRevision : last.modRevision) + 1;
      this.#options.onChanges(changes);
    });
  }

  /** All that is under way is lost. */
  #drop(): void {
    this.#stream?.close();
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#batches = [];
    this.#freeMs = 0;
  }

  #after(delayMs: number, run: () => void): void {
    const timer = this.#clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
  }
}

function withRevision<T extends ReadOptions>(options: T, revision: number | undefined): T {
  return revision === undefined ? options : { ...options, revision };
}
