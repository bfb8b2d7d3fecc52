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
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import {
  StoreUnavailable,
  type Compare,
  type Store,
  type StoreEntry,
  type StoreOp,
  type TransactionResult,
} from "@pilothouse/store";
import { isTooLongKey } from "@pilothouse/store/limits";
import { electionKey, storeKey, type ObjectStore, type StoredObject, type WriteCause } from "../core/model.ts";
import {
  decodeDeleteCause,
  decodeStored,
  deleteCauseKey,
  encodeDeleteCause,
  encodeStored,
  MAX_STORED_BYTES,
  readStored,
  UnreadableValue,
  type EncodedObject,
  type ReadObject,
} from "../core/stored.ts";

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
  const written = (object: ApiObject, encoded: EncodedObject, storeRevision: number): StoredObject => {
    const revision = storeRevision + rvBase;
    const metadata = { ...object.metadata, resourceVersion: String(revision) };
    return { object: { ...object, metadata }, revision, bytes: encoded.served(revision) };
  };
  return {
    async read(kind, namespace, name) {
      const key = storeKey(kind, namespace, name);
      // What the store would not take as a key is nobody's name.
      if (isTooLongKey(key)) return undefined;
      const { entry } = await orUnavailable(store.get(key));
      if (!entry) return undefined;
      const revision = entry.modRevision + rvBase;
      const { object, bytes, foreign } = readOrRefuse(kind, entry, revision);
      return { object, bytes, revision, ...(foreign || entry.outdated ? { foreign: true } : {}) };
    },

    async create(kind, object, cause) {
      const name = object.metadata.name ?? "";
      const write = newWrite(kind, object, cause, ids.uuid(), 0, rvBase, await leases(kind));
      const revision = await runPut(store, write);
      if (revision === undefined) throw alreadyExists(kind, name);
      return written(object, write.encoded, revision);
    },

    async replace(kind, object, expectedRevision, cause) {
      const write = newWrite(kind, object, cause, ids.uuid(), expectedRevision - rvBase, rvBase, await leases(kind));
      const revision = await runPut(store, write);
      return revision === undefined ? undefined : written(object, write.encoded, revision);
    },

    async remove(kind, { object, revision: expectedRevision }, cause) {
      const writeId = ids.uuid();
      const key = storeKey(kind, object.metadata.namespace ?? "", object.metadata.name ?? "");
      const causeKey = deleteCauseKey(key);
      const value = encodeDeleteCause({ key, writeId, trace: cause.trace });
      const revision = await runWrite(store, {
        key,
        expectedRevision: expectedRevision - rvBase,
        cause,
        rvBase,
        ops: [
          { op: "delete", key },
          { op: "put", key: causeKey, value },
        ],
        settle: async () => {
          const { entry } = await store.get(causeKey);
          return entry && decodeDeleteCause(entry.value)?.writeId === writeId ? entry.modRevision : undefined;
        },
      });
      if (revision === undefined) return undefined;
      return written(object, encodeStored(object, writeId, cause.trace), revision);
    },
  };
}

interface PutWrite extends Write {
  readonly encoded: EncodedObject;
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

function newWrite(
  kind: KindDefinition,
  object: ApiObject,
  cause: WriteCause,
  writeId: string,
  expectedRevision: number,
  rvBase: number,
  lease: { readonly leaseId?: string },
): Omit<PutWrite, "settle"> & { readonly writeId: string } {
  const key = storeKey(kind, object.metadata.namespace ?? "", object.metadata.name ?? "");
  const encoded = encodeStored(object, writeId, cause.trace);
  if (encoded.value.length > MAX_STORED_BYTES || isTooLongKey(key)) throw tooLarge("etcdserver: request is too large");
  return {
    key,
    encoded,
    writeId,
    expectedRevision,
    cause,
    rvBase,
    ops: [{ op: "put", key, value: encoded.value, ...lease }],
  };
}

function runPut(store: Store, write: ReturnType<typeof newWrite>): Promise<number | undefined> {
  return runWrite(store, {
    ...write,
    settle: async () => {
      const { entry } = await store.get(write.key);
      return entry && decodeStored(entry.value).trailer.writeId === write.writeId ? entry.modRevision : undefined;
    },
  });
}

/** The revision of the write; undefined when the key was not at the revision expected. */
async function runWrite(store: Store, write: Write): Promise<number | undefined> {
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
    return settled(error, write);
  }
  if (result.succeeded) return result.revision;
  return refused(result, write);
}

/** Which compare failed: the fence first, since a deposed leader must learn it whatever else is wrong. */
function refused(result: TransactionResult, { key, cause, expectedRevision, rvBase }: Write): undefined {
  const found = [...result.gets];
  const object = found.shift();
  if (cause.fence) {
    const election = found.shift();
    if ((election?.createRevision ?? 0) !== cause.fence.createRevision) throw leadershipLost(cause.fence.election);
  }
  if ((object?.modRevision ?? 0) !== expectedRevision) return undefined;
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
