/** The objects an informer holds, by key and by index. Synchronous; changes nothing but itself. */
import type { KubernetesObject } from "@pilothouse/client";
import type { TraceContext } from "@pilothouse/telemetry";

/** Maps an object to the values it is found by. */
export type IndexFunction<T> = (object: T) => readonly string[];

export type InformerChange<T> =
  | { readonly type: "added"; readonly object: T; readonly trace: TraceContext | undefined }
  | { readonly type: "updated"; readonly object: T; readonly previous: T; readonly trace: TraceContext | undefined }
  /** `object` is the last state that is known. */
  | { readonly type: "deleted"; readonly object: T; readonly trace: TraceContext | undefined };

export class ObjectStore<T extends KubernetesObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexers: readonly (readonly [string, IndexFunction<T>])[];
  readonly #indexes = new Map<string, Map<string, Map<string, T>>>();

  constructor(indexers: Readonly<Record<string, IndexFunction<T>>>) {
    this.#indexers = Object.entries(indexers);
    for (const [name] of this.#indexers) this.#indexes.set(name, new Map());
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  byIndex(index: string, value: string): T[] {
    const values = this.#indexes.get(index);
    if (!values) throw new RangeError(`no index named ${index}`);
    return [...(values.get(value)?.values() ?? [])];
  }

  /** Puts the object unless a later state is known already; tells what that changed. */
  put(object: T, trace?: TraceContext): InformerChange<T> | undefined {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (previous && revisionOf(previous) >= revisionOf(object)) return undefined;
    // The name was deleted and used again, and the delete was not heard: to every reader that is an update with another uid.
    if (previous) this.#unindex(key, previous);
    this.#objects.set(key, object);
    for (const [name, indexer] of this.#indexers)
      for (const value of indexer(object)) this.#entry(name, value).set(key, object);
    return previous ? { type: "updated", object, previous, trace } : { type: "added", object, trace };
  }

  /** Removes what is there unless it is newer than `revision`; `last` is the object's last state, if known. */
  remove(key: string, revision: number, trace?: TraceContext, last?: T): InformerChange<T> | undefined {
    const previous = this.#objects.get(key);
    if (!previous || revisionOf(previous) > revision) return undefined;
    this.#objects.delete(key);
    this.#unindex(key, previous);
    return { type: "deleted", object: last ?? previous, trace };
  }

  /** Makes the store hold exactly these objects. */
  replace(objects: readonly T[]): InformerChange<T>[] {
    const kept = new Set(objects.map(keyOf));
    const removed = [...this.#objects.keys()]
      .filter((key) => !kept.has(key))
      .map((key) => this.remove(key, Number.POSITIVE_INFINITY));
    return [...removed, ...objects.map((object) => this.put(object))].filter((change) => change !== undefined);
  }

  #entry(index: string, value: string): Map<string, T> {
    const values = this.#indexes.get(index) as Map<string, Map<string, T>>;
    let entry = values.get(value);
    if (!entry) values.set(value, (entry = new Map()));
    return entry;
  }

  #unindex(key: string, object: T): void {
    for (const [name, indexer] of this.#indexers)
      for (const value of indexer(object)) {
        const entry = this.#entry(name, value);
        entry.delete(key);
        if (entry.size === 0) this.#indexes.get(name)?.delete(value);
      }
  }
}

/** `namespace/name`, or `name` for what has no namespace: how queues and the bus name an object. */
export function keyOf({ metadata }: KubernetesObject): string {
  return metadata.namespace ? `${metadata.namespace}/${metadata.name ?? ""}` : (metadata.name ?? "");
}

export function revisionOf({ metadata }: KubernetesObject): number {
  return Number(metadata.resourceVersion ?? 0);
}

export function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf("/");
  return { namespace: key.slice(0, Math.max(0, slash)), name: key.slice(slash + 1) };
}
