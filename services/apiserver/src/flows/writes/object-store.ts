/**
 * The write side of the store: each write is one transaction, with its preconditions and its leader's fence (C3, C11, C13).
 *
 * Promises: nothing is ever written twice; a write whose answer was lost is settled by its write id, and only a write that
 * cannot be settled is a 504. Revisions in and out are resourceVersions (etcd revision + rvBase, C8), the fence alone is
 * etcd's own create-revision.
 */
import {
  alreadyExists,
  internalError,
  leadershipLost,
  serviceUnavailable,
  timeout,
  tooLarge,
  type StatusError,
} from "@pilothouse/errors";
import type { Clock, Ids } from "@pilothouse/clock";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import {
  StoreRefused,
  StoreUnavailable,
  type Compare,
  type Store,
  type StoreEntry,
  type StoreOp,
  type TransactionResult,
} from "@pilothouse/store";
import { isTooLongKey } from "@pilothouse/store/limits";
import {
  electionKey,
  storeKey,
  type EncodedObject,
  type ObjectStore,
  type StoredObject,
  type WriteCause,
} from "../../core/model.ts";
import {
  decodeDeleteCause,
  decodeStored,
  deleteCauseKey,
  encodeDeleteCause,
  MAX_STORED_BYTES,
  readStored,
  storedAt,
  storedValue,
  UnreadableValue,
  type ReadObject,
} from "../../core/stored/stored.ts";

/** The namespace that a create was admitted into has changed since (C13): admit again and retry. */
export class NamespaceChanged extends Error {
  override readonly name = "NamespaceChanged";
  constructor(key: string) {
    super(`${key} has changed since the request was admitted`);
  }
}

/** What was to be written beside the object could not be: somebody else has it (an address, a port). */
export class AlongsideRefused extends Error {
  override readonly name = "AlongsideRefused";
  readonly key: string;
  constructor(key: string) {
    super(`${key} is not as the write expects`);
    this.key = key;
  }
}

export interface ObjectStorePorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly ids: Ids;
}

/** `rvBase`: what a resourceVersion is ahead of etcd's revision (C8); see @pilothouse/store/rv-base. */
export function createObjectStore(ports: ObjectStorePorts, rvBase: number): ObjectStore {
  const { store, ids } = ports;
  const leases = expiryLeases(ports);
  const read = (kind: KindDefinition, entry: StoreEntry | undefined): StoredObject | undefined => {
    if (!entry) return undefined;
    const revision = entry.modRevision + rvBase;
    const { object, bytes, foreign } = readOrRefuse(kind, entry, revision);
    return { object, bytes, revision, ...(foreign || entry.outdated ? { foreign: true } : {}) };
  };
  const put = async (
    kind: KindDefinition,
    encoded: EncodedObject,
    expectedRevision: number,
    cause: WriteCause,
  ): Promise<WriteResult> => {
    const { namespace = "", name = "" } = encoded.object.metadata;
    const key = storeKey(kind, namespace, name);
    const writeId = ids.uuid();
    const value = storedValue(encoded, writeId, cause.trace);
    if (value.length > MAX_STORED_BYTES || isTooLongKey(key)) throw tooLarge("etcdserver: request is too large");
    return runWrite(store, {
      key,
      expectedRevision,
      cause,
      rvBase,
      ops: [{ op: "put", key, value, ...(await leases(kind)) }],
      settle: async () => {
        const { entry } = await store.get(key);
        return entry && decodeStored(entry.value).trailer.writeId === writeId ? entry.modRevision : undefined;
      },
    });
  };

  return {
    async read(kind, namespace, name) {
      const key = storeKey(kind, namespace, name);
      // What the store would not take as a key is nobody's name.
      if (isTooLongKey(key)) return undefined;
      return read(kind, (await orUnavailable(store.get(key))).entry);
    },

    async create(kind, encoded, cause) {
      const end = await put(kind, encoded, 0, cause);
      if (end.kind === "lost") throw alreadyExists(kind, encoded.object.metadata.name ?? "");
      return storedAt(encoded, end.revision + rvBase);
    },

    async replace(kind, encoded, expectedRevision, cause) {
      const end = await put(kind, encoded, expectedRevision - rvBase, cause);
      if (end.kind === "lost") return { kind: "lost", found: read(kind, end.found) };
      return { kind: "written", stored: storedAt(encoded, end.revision + rvBase) };
    },

    async remove(kind, namespace, name, expectedRevision, cause) {
      const writeId = ids.uuid();
      const key = storeKey(kind, namespace, name);
      const causeKey = deleteCauseKey(key);
      const value = encodeDeleteCause({ key, writeId, trace: cause.trace });
      const target = { key, expectedRevision: expectedRevision - rvBase, cause, rvBase };
      const end = await withoutCauseIfFull(
        () =>
          runWrite(store, {
            ...target,
            ops: [
              { op: "delete", key },
              { op: "put", key: causeKey, value },
            ],
            settle: async () => {
              const { entry } = await store.get(causeKey);
              return entry && decodeDeleteCause(entry.value)?.writeId === writeId ? entry.modRevision : undefined;
            },
          }),
        () => runWrite(store, { ...target, ops: [{ op: "delete", key }], settle: () => Promise.resolve(undefined) }),
      );
      if (end.kind === "lost") return { kind: "lost", found: read(kind, end.found) };
      return { kind: "written", stored: { revision: end.revision + rvBase } };
    },
  };
}

/**
 * etcd whose space has run out takes deletes, and no transaction that puts anything. What makes room again must go through, so
 * it goes without its cause; if its answer is lost as well, nobody can tell whether it happened.
 */
async function withoutCauseIfFull<T>(whole: () => Promise<T>, bare: () => Promise<T>): Promise<T> {
  try {
    return await whole();
  } catch (error) {
    if (error instanceof StoreRefused && error.reason === "noSpace") return bare();
    throw error;
  }
}

interface Write {
  readonly key: string;
  /** etcd's mod-revision that the key must have; 0: it must not exist. */
  readonly expectedRevision: number;
  readonly cause: WriteCause;
  readonly rvBase: number;
  readonly ops: readonly StoreOp[];
  /** After an unclear outcome: the revision at which this write is known to have happened. */
  settle(): Promise<number | undefined>;
}

type WriteResult =
  | { readonly kind: "written"; readonly revision: number }
  /** The key was not at the revision expected. */
  | { readonly kind: "lost"; readonly found: StoreEntry | undefined };

async function runWrite(store: Store, write: Write): Promise<WriteResult> {
  const { fence, namespaceRevision, alongside } = write.cause;
  const compares: Compare[] = [{ key: write.key, target: "modRevision", equals: write.expectedRevision }];
  const lookups: StoreOp[] = [{ op: "get", key: write.key }];
  if (fence) {
    const key = electionKey(fence.election);
    compares.push({ key, target: "createRevision", equals: fence.createRevision });
    lookups.push({ op: "get", key });
  }
  if (namespaceRevision) {
    const { key, modRevision } = namespaceRevision;
    compares.push({ key, target: "modRevision", equals: modRevision - write.rvBase });
    lookups.push({ op: "get", key });
  }
  for (const compare of alongside?.compares ?? []) {
    compares.push(compare);
    lookups.push({ op: "get", key: compare.key });
  }
  if (write.cause.signal?.aborted) throw outcomeUnknown();
  let result: TransactionResult;
  try {
    result = await store.txn({ compares, then: [...write.ops, ...(alongside?.ops ?? [])], otherwise: lookups });
  } catch (error) {
    return { kind: "written", revision: await settled(error, write) };
  }
  if (result.succeeded) return { kind: "written", revision: result.revision };
  return { kind: "lost", found: refused(result, write) };
}

/**
 * Which compare failed: the fence first, since a deposed leader must learn it whatever else is wrong.
 *
 * @returns what was found under the key, which is not at the revision expected
 */
function refused(result: TransactionResult, { key, cause, expectedRevision, rvBase }: Write): StoreEntry | undefined {
  const found = [...result.gets];
  const object = found.shift();
  if (cause.fence) {
    const election = found.shift();
    if ((election?.createRevision ?? 0) !== cause.fence.createRevision) throw leadershipLost(cause.fence.election);
  }
  if ((object?.modRevision ?? 0) !== expectedRevision) return object;
  if (cause.namespaceRevision) {
    const namespace = found.shift();
    if ((namespace?.modRevision ?? 0) + rvBase !== cause.namespaceRevision.modRevision)
      throw new NamespaceChanged(cause.namespaceRevision.key);
  }
  for (const { key, target, equals } of cause.alongside?.compares ?? []) {
    if ((found.shift()?.[target] ?? 0) !== equals) throw new AlongsideRefused(key);
  }
  throw new Error(`a transaction on ${key} was refused though all its compares hold`);
}

/** C3: never run it again; look whether it happened. */
async function settled(failure: unknown, write: Write): Promise<number> {
  if (!(failure instanceof StoreUnavailable)) throw failure;
  if (failure.outcome === "none") throw serviceUnavailable(failure.message);
  try {
    const revision = await write.settle();
    if (revision !== undefined) return revision;
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
  }
  throw outcomeUnknown();
}

function outcomeUnknown(): StatusError {
  return timeout("Timeout: request did not complete within requested timeout - context deadline exceeded");
}

/** @throws StatusError 500 for a value that cannot be read: it is there, so it is never a 404 (C9) */
function readOrRefuse(kind: KindDefinition, { value, unreadable }: StoreEntry, revision: number): ReadObject {
  if (unreadable !== undefined) throw internalError(unreadable);
  try {
    return readStored(kind, value, revision);
  } catch (error) {
    throw error instanceof UnreadableValue ? internalError(error.message) : error;
  }
}

async function orUnavailable<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof StoreUnavailable) throw serviceUnavailable(error.message);
    throw error;
  }
}

/** Events expire an hour after their last write, as upstream's `--event-ttl` has it. */
const EVENT_TTL_SECONDS = 3_600;
/** Writes within a minute share a lease: a lease for each Event would cost the store more than the Event. */
const LEASE_SHARED_MS = 60_000;

function expiryLeases({ store, clock }: { store: Store; clock: Clock }) {
  let shared: { readonly untilMs: number; readonly lease: Promise<{ readonly leaseId: string }> } | undefined;
  return async (kind: KindDefinition): Promise<{ readonly leaseId?: string }> => {
    if (kind.resource !== "events") return {};
    if (!shared || clock.monotonicMs() >= shared.untilMs) {
      const lease = orUnavailable(store.grantLease(EVENT_TTL_SECONDS + LEASE_SHARED_MS / 1_000));
      const grant = { untilMs: clock.monotonicMs() + LEASE_SHARED_MS, lease };
      shared = grant;
      lease.catch(() => {
        if (shared === grant) shared = undefined;
      });
    }
    const { leaseId } = await shared.lease;
    return { leaseId };
  };
}
