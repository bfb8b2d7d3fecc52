/**
 * The vocabulary that the parts of the apiserver share: which resource a request means, who asks, what the cache holds.
 */
import type { ApiRequest, ApiResponse } from "@pilothouse/api/http";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import type { Compare, StoreOp } from "@pilothouse/store";
import type { Span, TraceContext } from "@pilothouse/telemetry";

/** What a path and a method mean, by upstream's RequestInfo rules; a pure function of both (core/request-info.ts). */
export interface RequestInfo {
  readonly isResourceRequest: boolean;
  /** get list watch create update patch delete deletecollection; for other paths the method in lower case. */
  readonly verb: string;
  /** "" for core. */
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  /** Plural. */
  readonly resource: string;
  /** "" for none. */
  readonly subresource: string;
  /** "" for collections. */
  readonly name: string;
  /** Decoded segments after the subresource (proxy). */
  readonly rest: readonly string[];
}

export interface UserInfo {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** A request after authentication, as flows get it. */
export interface RequestContext {
  readonly request: ApiRequest;
  readonly info: RequestInfo;
  readonly user: UserInfo;
  readonly span: Span;
  /** The registry's entry for `info`, perhaps a second version of the stored kind; undefined for non-resource paths. */
  readonly kind: KindDefinition | undefined;
  /** Under which leadership the request writes (C11); undefined for everybody who is no elected leader. */
  readonly fence?: WriteCause["fence"];
  /** Collects `Warning: 299 - "text"` headers of the answer. */
  readonly warn: (text: string) => void;
}

export type Flow = (context: RequestContext) => Promise<ApiResponse>;

/**
 * One object in the watch cache: immutable. `bytes` is the served JSON with resourceVersion spliced in.
 */
export interface CacheEntry {
  /** The store key. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly revision: number;
  readonly bytes: Uint8Array;
  readonly labels: Readonly<Record<string, string>>;
  /** metadata.name, metadata.namespace and the kind's selectable fields. */
  readonly fields: Readonly<Record<string, string>>;
  readonly ownerUids: readonly string[];
  readonly deleting: boolean;
  /** The write that made this state. */
  readonly trace: TraceContext | undefined;
}

/** One change as watchers and the bus see it. */
export interface CacheChange {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  /** For DELETED: the last object with the delete's revision. */
  readonly entry: CacheEntry;
  /** What was there before, for selectors: a change may enter or leave a watcher's view. */
  readonly previous: CacheEntry | undefined;
}

/** The read side of the store (cache/): one writer, the etcd watch. */
export interface ObjectCache {
  /** The latest whole revision applied. */
  revision(): number;
  /** Resolves when the cache holds the store's revision as asked after this call (coalesced, C7); throws 504 after 3 s. */
  waitUntilCurrent(signal?: AbortSignal): Promise<number>;
  /** Resolves when the cache holds at least `revision`; a future one throws 504 `Too large resource version` after 3 s. */
  waitFor(revision: number, signal?: AbortSignal): Promise<void>;
  get(kind: KindDefinition, namespace: string, name: string): CacheEntry | undefined;
  /** A snapshot in key order: the references and the revision are copied in one synchronous step (C6). "" = all namespaces. */
  list(kind: KindDefinition, namespace: string): { readonly entries: readonly CacheEntry[]; readonly revision: number };
  /** False until the first load, and when the stream misses a known revision for 1 s. */
  ready(): boolean;
  readonly epoch: string;
}

/**
 * The write side of the store (flows/object-store.ts): one etcd transaction per write, fenced. All revisions are
 * resourceVersions as numbers (C8); `create` of an existing name throws 409 AlreadyExists; an outcome that cannot be settled
 * throws 504, a store that surely did nothing 503.
 */
export interface ObjectStore {
  /** The object and its revision straight from etcd (linearizable); undefined when absent. */
  read(kind: KindDefinition, namespace: string, name: string): Promise<StoredObject | undefined>;
  create(kind: KindDefinition, object: EncodedObject, write: WriteCause): Promise<StoredObject>;
  /** Puts the object if its key is still at `expected`. */
  replace(
    kind: KindDefinition,
    object: EncodedObject,
    expectedRevision: number,
    write: WriteCause,
  ): Promise<WriteOutcome<StoredObject>>;
  /** Deletes the key if it is still at `expected`; the answer is the delete's revision. */
  remove(
    kind: KindDefinition,
    namespace: string,
    name: string,
    expectedRevision: number,
    write: WriteCause,
  ): Promise<WriteOutcome<Pick<StoredObject, "revision">>>;
}

export type WriteOutcome<T> =
  | { readonly kind: "written"; readonly stored: T }
  /** The key was at another revision: nothing was written, and this is what the transaction found there. */
  | { readonly kind: "lost"; readonly found: StoredObject | undefined };

/** An object in the form that is stored: encoded once, then compared, written and served (core/stored.ts). */
export interface EncodedObject {
  /** Canonical, without resourceVersion. */
  readonly object: ApiObject;
  /** Its JSON. */
  readonly body: Uint8Array;
  /** The byte offset at which `"resourceVersion":"…",` belongs. */
  readonly spliceOffset: number;
}

export interface StoredObject {
  /** With metadata.resourceVersion set. Read-only: to change it, parse `bytes` anew. */
  readonly object: ApiObject;
  readonly revision: number;
  /** The served JSON bytes. */
  readonly bytes: Uint8Array;
  /** Stored in another form than today's (C1): writing it, even unchanged, is not a no-op (C2). */
  readonly foreign?: boolean;
}

/** Why a write happens and under which leadership. */
export interface WriteCause {
  readonly trace: TraceContext;
  /**
   * Aborted when the asker has gone: from there on nothing is written. Who gave up may have asked elsewhere, and a request that
   * a paused apiserver finishes later would undo what happened since.
   */
  readonly signal?: AbortSignal;
  /** Election name and create-revision (C11): compared in the transaction; a mismatch throws `leadershipLost`. */
  readonly fence?: { readonly election: string; readonly createRevision: number } | undefined;
  /**
   * Extra compare: the namespace's store key and its resourceVersion as admission saw it, on creates (C13). A mismatch
   * throws `NamespaceChanged` (flows/object-store.ts): look at the namespace again, refuse or retry.
   */
  readonly namespaceRevision?: { readonly key: string; readonly modRevision: number } | undefined;
  /**
   * Written in the same transaction, when all its compares hold (allocations of Service addresses and ports). A mismatch
   * throws `AlongsideRefused` (flows/object-store.ts). Revisions are etcd's own.
   */
  readonly alongside?: { readonly compares: readonly Compare[]; readonly ops: readonly StoreOp[] } | undefined;
}

/** The header by which an elected leader names its leadership: `<election>/<create-revision>`. */
export const FENCE_HEADER = "pilothouse-fence";
/** Response headers by which an informer learns whose bus feed to follow. */
export const APISERVER_HEADER = "pilothouse-apiserver";
export const EPOCH_HEADER = "pilothouse-epoch";

/** `/registry/<group|core>/<resource>/[<namespace>/]<name>` */
export function storeKey(kind: KindDefinition, namespace: string, name: string): string {
  const base = storePrefix(kind);
  return kind.namespaced ? `${base}${namespace}/${name}` : `${base}${name}`;
}

/** `/registry/<group|core>/<resource>/`, with the namespace's folder when one is given. */
export function storePrefix(kind: KindDefinition, namespace = ""): string {
  const base = `/registry/${kind.group || "core"}/${kind.resource}/`;
  return namespace === "" ? base : `${base}${namespace}/`;
}

/** The etcd key of an election; its holder's create-revision is the fence. */
export function electionKey(election: string): string {
  return `/pilothouse/elections/${election}`;
}
