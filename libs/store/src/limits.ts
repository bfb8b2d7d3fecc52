/** What every adapter of the store refuses or cuts alike, so that a mistake shows in a unit test and not on a real etcd. */
import { StoreRefused } from "./index.ts";
import type { StoreEntry, StoreOp, Transaction } from "./index.ts";

export const storeLimits = {
  keyBytes: 1024,
  valueBytes: 1.5 * 2 ** 20,
  transactionOperations: 128,
  pageBytes: 4 * 2 ** 20,
  transactionDeadlineMs: 5_000,
} as const;

/** Throws `StoreRefused` for a transaction that etcd would refuse, before it is sent. */
export function checkTransaction(txn: Transaction): void {
  for (const { key } of txn.compares) checkKey(key);
  for (const operations of [txn.compares, txn.then, txn.otherwise ?? []])
    if (operations.length > storeLimits.transactionOperations)
      throw new StoreRefused("tooManyOperations", "etcdserver: too many operations in txn request");
  checkBranch(txn.then);
  checkBranch(txn.otherwise ?? []);
}

export function checkKey(key: string): void {
  if (key === "") throw new StoreRefused("invalid", "etcdserver: key is not provided");
  if (isTooLongKey(key)) throw new StoreRefused("tooLarge", `key of more than ${storeLimits.keyBytes} bytes`);
}

export function isTooLongKey(key: string): boolean {
  // No character takes more than three bytes a code unit, so that most keys need no encoding here.
  return key.length * 3 > storeLimits.keyBytes && Buffer.byteLength(key) > storeLimits.keyBytes;
}

/** A watch or read from revision 0 would mean "now" to etcd: nobody can resume from that. */
export function checkStartRevision(startRevision: number): void {
  if (!Number.isSafeInteger(startRevision) || startRevision < 1)
    throw new RangeError(`a watch starts at revision 1 or later, not at ${startRevision}`);
}

/** The longest beginning of `entries` that fits into `maxBytes`, but at least one entry. */
export function cutPage(entries: readonly StoreEntry[], maxBytes: number): readonly StoreEntry[] {
  let bytes = 0;
  for (const [i, entry] of entries.entries()) {
    bytes += entry.key.length + entry.value.length;
    if (bytes > maxBytes && i > 0) return entries.slice(0, i);
  }
  return entries;
}

function checkBranch(operations: readonly StoreOp[]): void {
  const written = new Set<string>();
  let bytes = 0;
  for (const operation of operations) {
    checkKey(operation.key);
    if (operation.op === "get") continue;
    if (written.has(operation.key))
      throw new StoreRefused("duplicateKey", "etcdserver: duplicate key given in txn request");
    written.add(operation.key);
    if (operation.op === "put") bytes += operation.value.length;
  }
  if (bytes > storeLimits.valueBytes) throw new StoreRefused("tooLarge", "etcdserver: request is too large");
}
