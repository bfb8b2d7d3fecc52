/**
 * Read your own writes: a reconciler does not decide about a key again until its informers show what it did last time. Without
 * this a controller that acts faster than its caches follow makes everything twice.
 */
import type { KubernetesObject } from "@pilothouse/client";
import type { Informer } from "@pilothouse/informer";

type Reader<T extends KubernetesObject> = Pick<Informer<T>, "get" | "revision">;

interface Pending {
  /** By informer, the highest revision written there. */
  readonly writes: Map<Reader<KubernetesObject>, number>;
  /** Deletes that the informer must show as gone or going. */
  readonly deletes: Set<Deleted>;
}

interface Deleted {
  readonly informer: Reader<KubernetesObject>;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export class OwnWrites {
  readonly #pending = new Map<string, Pending>();

  /** For `key`, this state of an object was written, that `informer` will show. */
  wrote<T extends KubernetesObject>(key: string, informer: Reader<T>, written: T): void {
    const revision = Number(written.metadata.resourceVersion ?? 0);
    const { writes } = this.#of(key);
    writes.set(informer, Math.max(revision, writes.get(informer) ?? 0));
  }

  /** For `key`, this object was deleted: `informer` must show it gone, or with a deletion timestamp. */
  deleted<T extends KubernetesObject>(key: string, informer: Reader<T>, object: T): void {
    const { namespace = "", name = "", uid = "" } = object.metadata;
    this.#of(key).deletes.add({ informer, namespace, name, uid });
  }

  /** True when the informers show all that was done for `key`. */
  seen(key: string): boolean {
    const pending = this.#pending.get(key);
    if (!pending) return true;
    for (const [informer, revision] of pending.writes)
      if (informer.revision() >= revision) pending.writes.delete(informer);
    for (const deleted of pending.deletes) if (isShown(deleted)) pending.deletes.delete(deleted);
    if (pending.writes.size + pending.deletes.size > 0) return false;
    this.#pending.delete(key);
    return true;
  }

  forget(key: string): void {
    this.#pending.delete(key);
  }

  #of(key: string): Pending {
    let pending = this.#pending.get(key);
    if (!pending) this.#pending.set(key, (pending = { writes: new Map(), deletes: new Set() }));
    return pending;
  }
}

function isShown({ informer, namespace, name, uid }: Deleted): boolean {
  const object = informer.get(namespace, name);
  return !object || object.metadata.uid !== uid || object.metadata.deletionTimestamp !== undefined;
}
