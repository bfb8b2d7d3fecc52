/** Who depends on whom, as the feeds show it: every object by uid, and its dependents by the uids they name. Synchronous. */
import type { OwnerReference } from "@pilothouse/api/types/meta-v1";
import type { KubernetesObject, ResourceType } from "@pilothouse/client";

export const FOREGROUND_FINALIZER = "foregroundDeletion";
export const ORPHAN_FINALIZER = "orphan";

/** What the collector must know of an object. */
export interface GraphObject {
  readonly uid: string;
  readonly type: ResourceType;
  /** "" for what has none. */
  readonly namespace: string;
  readonly name: string;
  readonly owners: readonly OwnerReference[];
  /** It has a deletion timestamp. */
  readonly isLeaving: boolean;
  readonly finalizers: readonly string[];
}

export function graphObject(type: ResourceType, { metadata }: KubernetesObject): GraphObject {
  const { uid = "", namespace = "", name = "", ownerReferences = [], deletionTimestamp, finalizers = [] } = metadata;
  return {
    uid,
    type,
    namespace,
    name,
    owners: ownerReferences,
    isLeaving: deletionTimestamp !== undefined,
    finalizers,
  };
}

export class OwnerGraph {
  readonly #objects = new Map<string, GraphObject>();
  readonly #dependents = new Map<string, Set<string>>();

  get(uid: string): GraphObject | undefined {
    return this.#objects.get(uid);
  }

  all(): readonly GraphObject[] {
    return [...this.#objects.values()];
  }

  /** The objects that name this uid as an owner. */
  dependents(uid: string): readonly GraphObject[] {
    const uids = [...(this.#dependents.get(uid) ?? [])];
    return uids.map((dependent) => this.#objects.get(dependent)).filter((object) => object !== undefined);
  }

  /** What was there before. */
  put(object: GraphObject): GraphObject | undefined {
    const before = this.remove(object.uid);
    this.#objects.set(object.uid, object);
    for (const { uid } of object.owners) {
      const dependents = this.#dependents.get(uid);
      if (dependents) dependents.add(object.uid);
      else this.#dependents.set(uid, new Set([object.uid]));
    }
    return before;
  }

  remove(uid: string): GraphObject | undefined {
    const before = this.#objects.get(uid);
    this.#objects.delete(uid);
    for (const owner of before?.owners ?? []) {
      const dependents = this.#dependents.get(owner.uid);
      dependents?.delete(uid);
      if (dependents?.size === 0) this.#dependents.delete(owner.uid);
    }
    return before;
  }
}
