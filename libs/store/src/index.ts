/**
 * The store port: a revisioned, watchable, transactional key-value store, with exactly the promises of etcd's v3 API.
 *
 * Promises: transactions are atomic and linearizable; each successful write raises the store's one revision by one; a watch
 * delivers every change of its prefix from its start revision on, whole revisions at a time, in order, once, across
 * reconnects, until it ends with a stated cause.
 * Does not promise: that a failed call did not happen (`StoreUnavailable` with `outcome: "unknown"`, C3); a serializable
 * read may be stale.
 * Limits: a key of 1 KiB, a value of 1.5 MiB, 128 operations a transaction.
 */
export interface Store {
  /** The current revision, linearizable. */
  revision(signal?: AbortSignal): Promise<number>;
  get(key: string, options?: ReadOptions): Promise<GetResult>;
  /**
   * One page of keys in [from, to) in key order, cut by count and by bytes: a page may hold fewer than `limit` entries and
   * still say `more`. Go on from `keyAfter(last key)` at the `revision` of the first page.
   */
  range(range: KeyRange, options?: RangeOptions): Promise<RangePage>;
  /** Runs `then` if all compares hold, else `otherwise`. One key at most once in a branch's writes, else `StoreRefused`. */
  txn(txn: Transaction): Promise<TransactionResult>;
  /** Follows all changes of a key range; throws `StoreUnavailable` once the store is closed. The handler runs synchronously with all changes of one or more whole revisions. */
  watch(options: WatchOptions): StoreWatch;
  /** Forgets history before `revision`. */
  compact(revision: number): Promise<void>;
  grantLease(ttlSeconds: number): Promise<{ readonly leaseId: string; readonly ttlSeconds: number }>;
  /** Returns the seconds left, or 0 when the lease is gone. */
  keepLeaseAlive(leaseId: string): Promise<number>;
  revokeLease(leaseId: string): Promise<void>;
  close(): Promise<void>;
}

export interface ReadOptions {
  /** Read as of this revision; a compacted one throws `RevisionCompacted`. */
  readonly revision?: number;
  /** Read from any member without quorum: possibly stale. */
  readonly serializable?: boolean;
  readonly signal?: AbortSignal;
}

export interface RangeOptions extends ReadOptions {
  /** At most this many entries. */
  readonly limit?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  /** The page ends before the entry that would take keys and values over this size (but holds at least one). Default 4 MiB. */
  readonly maxBytes?: number;
}

/** Keys k with from ≤ k < to, by bytes. */
export interface KeyRange {
  readonly from: string;
  readonly to: string;
}

export interface StoreEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  /** 1 for a key just created, +1 at each write. */
  readonly version: number;
  readonly leaseId?: string;
  /** Set by a layer that encrypts: the value was not written with the current key. */
  readonly outdated?: boolean;
  /** Set by such a layer: why the value could not be decrypted. It is then as it lies in the store. */
  readonly unreadable?: string;
}

export interface GetResult {
  readonly entry: StoreEntry | undefined;
  /** The store's revision when it answered. */
  readonly revision: number;
}

export interface RangePage {
  readonly entries: readonly StoreEntry[];
  /** All keys in the range, also those not on this page. */
  readonly count: number;
  readonly more: boolean;
  readonly revision: number;
}

export type Compare =
  /** `0` means: the key does not exist. */
  | { readonly key: string; readonly target: "modRevision"; readonly equals: number }
  | { readonly key: string; readonly target: "createRevision"; readonly equals: number };

export type StoreOp =
  | { readonly op: "put"; readonly key: string; readonly value: Uint8Array; readonly leaseId?: string }
  | { readonly op: "delete"; readonly key: string }
  | { readonly op: "get"; readonly key: string };

export interface Transaction {
  readonly compares: readonly Compare[];
  readonly then: readonly StoreOp[];
  readonly otherwise?: readonly StoreOp[];
  /** The call gives up after this long with an unknown outcome. Default 5,000. */
  readonly deadlineMs?: number;
}

export interface TransactionResult {
  readonly succeeded: boolean;
  readonly revision: number;
  /** The entries found by the `get`s of the branch that ran, in their order. */
  readonly gets: readonly (StoreEntry | undefined)[];
}

export interface WatchOptions {
  readonly range: KeyRange;
  /** The first revision wanted, at least 1; above the last compaction, for etcd 3.4 keeps no delete of that very revision. */
  readonly startRevision: number;
  /** Whether changes bring what stood there before, which costs the store a read of each. Default false. */
  readonly withPrevious?: boolean;
  /** Called with all changes of one or more whole revisions, in order. */
  onChanges(changes: readonly StoreChange[]): void;
  /** Called once, when the watch ended by itself: history compacted (reload), or closed. Breaks of the connection are resumed inside. */
  onEnd(cause: WatchEnd): void;
  /** Called when the stream breaks (false) and when it is whole again (true). */
  onHealth?(healthy: boolean): void;
}

export type WatchEnd =
  | { readonly reason: "compacted"; readonly compactRevision: number }
  | { readonly reason: "closed" };

export interface StoreWatch {
  close(): void;
  /** Breaks the stream and resumes it, at another member where there is one (C7). */
  reconnect(): void;
}

export type StoreChange =
  | { readonly type: "put"; readonly entry: StoreEntry; readonly previous: StoreEntry | undefined }
  | {
      readonly type: "delete";
      readonly key: string;
      readonly modRevision: number;
      readonly previous: StoreEntry | undefined;
    };

/** The store did not answer, or answered with an error of transport. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
  /** "none": surely not done. "unknown": may have been done. */
  readonly outcome: "none" | "unknown";
  constructor(message: string, outcome: "none" | "unknown", options?: ErrorOptions) {
    super(message, options);
    this.outcome = outcome;
  }
}

export class RevisionCompacted extends Error {
  override readonly name = "RevisionCompacted";
  readonly compactRevision: number;
  constructor(compactRevision: number) {
    super(`the revision asked for has been compacted (history begins at ${compactRevision})`);
    this.compactRevision = compactRevision;
  }
}

export class RevisionInFuture extends Error {
  override readonly name = "RevisionInFuture";
}

/** The store answered and refuses: surely not done, and the same request will fail again. */
export class StoreRefused extends Error {
  override readonly name = "StoreRefused";
  readonly reason: RefusalReason;
  constructor(reason: RefusalReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

export type RefusalReason = "duplicateKey" | "leaseNotFound" | "tooLarge" | "tooManyOperations" | "noSpace" | "invalid";

/** The range of all keys that begin with `prefix`. */
export function prefixRange(prefix: string): KeyRange {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { from: prefix, to: prefix.slice(0, -1) + String.fromCharCode(last + 1) };
}

/** The first key after `key`: where the next page begins. */
export function keyAfter(key: string): string {
  return `${key}\0`;
}

/** The range of one key. */
export function keyRange(key: string): KeyRange {
  return { from: key, to: keyAfter(key) };
}

/** The whole key space. `to: "\0"` stands for "to the end", as in etcd. */
export const allKeys: KeyRange = { from: "\0", to: "\0" };
