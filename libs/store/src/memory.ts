/** The memory adapter of the store port: etcd's semantics in one process, leases by the given clock, no faults of its own. */
import { abortReason } from "@pilothouse/clock";
import type { Clock, Timer } from "@pilothouse/clock";
import { RevisionCompacted, StoreRefused, StoreUnavailable } from "./index.ts";
import type {
  Compare,
  RangeOptions,
  RangePage,
  Store,
  StoreChange,
  StoreEntry,
  StoreOp,
  StoreWatch,
  Transaction,
  TransactionResult,
  WatchOptions,
} from "./index.ts";
import { Keyspace, rangeHolds } from "./keyspace.ts";
import type { KeyWrite } from "./keyspace.ts";
import { checkKey, checkStartRevision, checkTransaction, cutPage, storeLimits } from "./limits.ts";

export interface MemoryStoreOptions {
  readonly clock: Clock;
  /** At most about this many changes in one call of a watch's handler. Default 1,000, as etcd has it. */
  readonly watchBatch?: number;
}

const WATCH_BATCH = 1_000;

interface Lease {
  readonly ttlSeconds: number;
  readonly keys: Set<string>;
  dueMs: number;
  timer: Timer;
}

/** A fresh, empty store. Handlers of watches run in a microtask after the write, never inside it. */
export function memoryStore({ clock, watchBatch = WATCH_BATCH }: MemoryStoreOptions): Store {
  const keyspace = new Keyspace();
  const leases = new Map<string, Lease>();
  const watchers = new Set<MemoryWatch>();
  let leaseCount = 0;
  let closed = false;

  const open = (signal?: AbortSignal): void => {
    if (closed) throw new StoreUnavailable("the store is closed", "none");
    if (signal?.aborted) throw abortReason(signal);
  };

  const write = (writes: readonly KeyWrite[]): void => {
    for (const change of keyspace.write(writes)) moveToLease(leases, change);
    for (const watcher of watchers) watcher.wake();
  };

  const endLease = (leaseId: string): void => {
    const lease = leases.get(leaseId);
    if (!lease) return;
    lease.timer.cancel();
    leases.delete(leaseId);
    write([...lease.keys].sort().map((key) => ({ op: "delete", key })));
  };

  const armLease = (leaseId: string, ttlSeconds: number): Pick<Lease, "dueMs" | "timer"> => ({
    dueMs: clock.monotonicMs() + ttlSeconds * 1_000,
    timer: clock.setTimer(ttlSeconds * 1_000, () => endLease(leaseId)),
  });

  const runBranch = (operations: readonly StoreOp[]): (StoreEntry | undefined)[] => {
    const writes = operations.filter((operation) => operation.op !== "get");
    for (const operation of writes)
      if (operation.op === "put" && operation.leaseId !== undefined && !leases.has(operation.leaseId))
        throw new StoreRefused("leaseNotFound", "etcdserver: requested lease not found");
    // Gets see the writes before them in the branch, and no key is written twice: read those keys after, the others before.
    const before = new Map(operations.map(({ key }) => [key, keyspace.read(key)]));
    write(writes);
    const written = new Set<string>();
    const gets: (StoreEntry | undefined)[] = [];
    for (const operation of operations) {
      if (operation.op !== "get") written.add(operation.key);
      else gets.push(written.has(operation.key) ? keyspace.read(operation.key) : before.get(operation.key));
    }
    return gets;
  };

  return {
    async revision(signal) {
      open(signal);
      return keyspace.revision;
    },
    async get(key, options = {}) {
      open(options.signal);
      checkKey(key);
      return { entry: keyspace.read(key, options.revision), revision: keyspace.revision };
    },
    async range(range, options = {}) {
      open(options.signal);
      checkKey(range.from);
      return page(keyspace.range(range, options.revision), keyspace.revision, options);
    },
    async txn(txn: Transaction): Promise<TransactionResult> {
      open();
      checkTransaction(txn);
      const succeeded = txn.compares.every((compare) => holds(compare, keyspace.read(compare.key)));
      const gets = runBranch(succeeded ? txn.then : (txn.otherwise ?? []));
      return { succeeded, revision: keyspace.revision, gets };
    },
    watch(options) {
      open();
      checkStartRevision(options.startRevision);
      const watcher = new MemoryWatch(keyspace, options, watchBatch, () => watchers.delete(watcher));
      watchers.add(watcher);
      watcher.wake();
      return watcher;
    },
    async compact(revision) {
      open();
      keyspace.compact(revision);
    },
    async grantLease(ttlSeconds) {
      open();
      const leaseId = String(++leaseCount);
      leases.set(leaseId, { ttlSeconds, keys: new Set(), ...armLease(leaseId, ttlSeconds) });
      return { leaseId, ttlSeconds };
    },
    async keepLeaseAlive(leaseId) {
      open();
      const lease = leases.get(leaseId);
      // A paused machine's timers fire late: a lease that is over does not come back because of it.
      if (lease && lease.dueMs <= clock.monotonicMs()) endLease(leaseId);
      else if (lease) {
        lease.timer.cancel();
        Object.assign(lease, armLease(leaseId, lease.ttlSeconds));
        return lease.ttlSeconds;
      }
      return 0;
    },
    async revokeLease(leaseId) {
      open();
      if (!leases.has(leaseId)) throw new StoreRefused("leaseNotFound", "etcdserver: requested lease not found");
      endLease(leaseId);
    },
    async close() {
      closed = true;
      for (const lease of leases.values()) lease.timer.cancel();
      for (const watcher of watchers) watcher.end();
    },
  };
}

class MemoryWatch implements StoreWatch {
  readonly #keyspace: Keyspace;
  readonly #options: WatchOptions;
  readonly #watchBatch: number;
  readonly #forget: () => void;
  #nextRevision: number;
  #ended = false;
  #woken = false;

  constructor(keyspace: Keyspace, options: WatchOptions, watchBatch: number, forget: () => void) {
    this.#keyspace = keyspace;
    this.#options = options;
    this.#watchBatch = watchBatch;
    this.#nextRevision = options.startRevision;
    this.#forget = forget;
  }

  wake(): void {
    if (this.#woken || this.#ended) return;
    this.#woken = true;
    queueMicrotask(() => {
      this.#woken = false;
      this.#deliver();
    });
  }

  close(): void {
    this.#ended = true;
    this.#forget();
  }

  /** Ends the watch from the store's side. */
  end(): void {
    if (this.#ended) return;
    this.close();
    this.#options.onEnd({ reason: "closed" });
  }

  reconnect(): void {
    if (this.#ended) return;
    this.#options.onHealth?.(false);
    this.#options.onHealth?.(true);
  }

  #deliver(): void {
    try {
      let batch: StoreChange[] = [];
      const { range, withPrevious = false } = this.#options;
      for (const { revision, changes } of this.#keyspace.changesFrom(this.#nextRevision)) {
        const inRange = changes.filter((change) => rangeHolds(range, changedKey(change)));
        batch.push(...(withPrevious ? inRange : inRange.map((change) => ({ ...change, previous: undefined }))));
        this.#nextRevision = revision + 1;
        if (batch.length < this.#watchBatch) continue;
        if (!this.#hand(batch)) return;
        batch = [];
      }
      this.#hand(batch);
    } catch (error) {
      if (!(error instanceof RevisionCompacted)) throw error;
      this.close();
      this.#options.onEnd({ reason: "compacted", compactRevision: error.compactRevision });
    }
  }

  /** False when the watch has ended meanwhile. */
  #hand(batch: readonly StoreChange[]): boolean {
    if (this.#ended) return false;
    if (batch.length > 0) this.#options.onChanges(batch);
    return !this.#ended;
  }
}

function changedKey(change: StoreChange): string {
  return change.type === "put" ? change.entry.key : change.key;
}

function holds(compare: Compare, entry: StoreEntry | undefined): boolean {
  return (entry?.[compare.target] ?? 0) === compare.equals;
}

function page(entries: readonly StoreEntry[], revision: number, options: RangeOptions): RangePage {
  const count = entries.length;
  if (options.countOnly) return { entries: [], count, more: false, revision };
  const asked = options.keysOnly ? entries.map((entry) => ({ ...entry, value: new Uint8Array() })) : entries;
  const cut = cutPage(asked.slice(0, options.limit || count), options.maxBytes ?? storeLimits.pageBytes);
  return { entries: cut, count, more: cut.length < count, revision };
}

/** Keeps each lease's set of keys true after a change. */
function moveToLease(leases: Map<string, Lease>, change: StoreChange): void {
  const key = changedKey(change);
  if (change.previous?.leaseId !== undefined) leases.get(change.previous.leaseId)?.keys.delete(key);
  if (change.type === "put" && change.entry.leaseId !== undefined) leases.get(change.entry.leaseId)?.keys.add(key);
}
