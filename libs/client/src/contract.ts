/** The words of the client: what a resource type, an object, a call and an answer are. See index.ts for what it promises. */
import type { TraceContext } from "@pilothouse/telemetry";
import type * as metaV1 from "@pilothouse/api/types/meta-v1";

/** Names a resource type: where its objects live and what they are. `group` is "" for core. */
export interface ResourceType<T extends KubernetesObject = KubernetesObject> {
  readonly group: string;
  readonly version: string;
  /** Plural, lower case. */
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Never set: carries the object's TypeScript type. */
  readonly object?: T;
}

export interface KubernetesObject {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly metadata: metaV1.ObjectMeta;
}

/** The cause of a write, and how it is made. */
export interface CallOptions {
  readonly trace?: TraceContext | undefined;
  readonly signal?: AbortSignal;
  readonly deadlineMs?: number;
}

export interface WriteOptions extends CallOptions {
  readonly fieldManager?: string;
}

export interface DeleteCallOptions extends CallOptions {
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
}

export interface ListOptions extends CallOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
}

export interface ListResult<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  readonly continue?: string;
  /** The apiserver that answered (its bus feed's name) and its epoch, when it says so. */
  readonly apiserver?: ApiserverIdentity;
}

/** Which apiserver answered, and which life of it: what a chain on the bus is named by (C14). */
export interface ApiserverIdentity {
  readonly name: string;
  readonly epoch: string;
}

export type PatchType =
  | "application/merge-patch+json"
  | "application/strategic-merge-patch+json"
  | "application/json-patch+json";

export interface WatchCallOptions extends CallOptions {
  readonly resourceVersion: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly timeoutSeconds?: number;
  /** Called once the watch is open, before its first event, when the apiserver says who it is. */
  readonly onOpen?: (apiserver: ApiserverIdentity | undefined) => void;
}

export type WatchEvent<T> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T; readonly trace?: TraceContext }
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string };

export interface ApiClient {
  get<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    name: string,
    options?: CallOptions,
  ): Promise<T>;
  list<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    options?: ListOptions,
  ): Promise<ListResult<T>>;
  create<T extends KubernetesObject>(type: ResourceType<T>, object: T, options?: WriteOptions): Promise<T>;
  /** PUT of the object, or of its subresource. */
  update<T extends KubernetesObject>(
    type: ResourceType<T>,
    object: T,
    options?: WriteOptions & { readonly subresource?: string },
  ): Promise<T>;
  patch<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    name: string,
    patch: { readonly type: PatchType; readonly body: unknown },
    options?: WriteOptions & { readonly subresource?: string },
  ): Promise<T>;
  delete<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    name: string,
    options?: DeleteCallOptions,
  ): Promise<void>;
  /** POST to a subresource (binding, token, eviction). */
  createSubresource<R>(
    type: ResourceType,
    namespace: string,
    name: string,
    subresource: string,
    body: unknown,
    options?: WriteOptions,
  ): Promise<R>;
  /** A watch over HTTP; iteration ends when the server ends it; an ERROR event is thrown as StatusError. */
  watch<T extends KubernetesObject>(
    type: ResourceType<T>,
    namespace: string,
    options: WatchCallOptions,
  ): AsyncIterable<WatchEvent<T>>;
  /** Any other request; a body that is not a Status failure is returned as bytes. */
  raw(
    method: string,
    path: string,
    options?: CallOptions & { readonly body?: Uint8Array; readonly contentType?: string },
  ): Promise<Uint8Array>;
}
