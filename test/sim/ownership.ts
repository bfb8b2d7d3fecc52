/**
 * I10 Namespaces. An object comes into a namespace only while that exists and is not going; when a namespace is gone, so is all
 *     that was in it.
 * I11 Garbage. The garbage collector deletes what a user made only when no owner is left that would keep it: each owner is
 *     gone, or waits for its dependents. Where an object's controllers delete too, I5 judges.
 */
import type { KubernetesObject } from "@pilothouse/client";
import { changedKey, type Commit } from "./store.ts";
import { Violation, type World } from "./world.ts";

const NAMESPACES = "/registry/core/namespaces/";
/** What their own controllers delete as well. */
const WITH_CONTROLLERS = ["core/pods", "apps/replicasets", "discovery.k8s.io/endpointslices", "core/endpoints"];

export class Ownership {
  readonly #world: World;
  /** Everything below /registry/, by key. */
  readonly #objects = new Map<string, KubernetesObject>();
  readonly #keyOfUid = new Map<string, string>();
  readonly #keysOf = new Map<string, Set<string>>();

  constructor(world: World) {
    this.#world = world;
  }

  exists(namespace: string): boolean {
    return this.#objects.has(`${NAMESPACES}${namespace}`);
  }

  /** The namespace is being deleted, or does not exist. */
  isGoing(namespace: string): boolean {
    const found = this.#objects.get(`${NAMESPACES}${namespace}`);
    return !found || isMarked(found);
  }

  judge(commit: Commit): void {
    for (const change of commit.changes) {
      const key = changedKey(change);
      if (!key.startsWith("/registry/")) continue;
      const before = this.#objects.get(key);
      const after = commit.objects.get(key);
      if (after && !before) this.#judgeCreation(key, commit);
      if (before && !isMarked(before) && (!after || isMarked(after))) this.#judgeDelete(key, before, commit);
      this.#keep(key, before, after);
      if (!after && key.startsWith(NAMESPACES)) this.#judgeEmptiness(key.slice(NAMESPACES.length));
    }
  }

  #judgeCreation(key: string, { cause, revision }: Commit): void {
    const namespace = namespaceOf(key);
    if (namespace === "" || cause === undefined) return;
    if (!this.#objects.has(`${NAMESPACES}${namespace}`))
      this.#violated(`I10: revision ${revision} makes ${key}, but there is no namespace ${namespace}`);
    else if (this.isGoing(namespace))
      this.#violated(`I10: revision ${revision} makes ${key}, but namespace ${namespace} is being deleted`);
  }

  #judgeEmptiness(namespace: string): void {
    const left = [...(this.#keysOf.get(namespace) ?? [])];
    if (left.length > 0) this.#violated(`I10: namespace ${namespace} is gone, and ${left.join(", ")} are left`);
  }

  #judgeDelete(key: string, object: KubernetesObject, { cause, revision }: Commit): void {
    const owners = object.metadata.ownerReferences ?? [];
    if (cause?.user !== "system:kube-controller-manager" || owners.length === 0) return;
    if (this.isGoing(namespaceOf(key)) || WITH_CONTROLLERS.some((kind) => key.startsWith(`/registry/${kind}/`))) return;
    const keeper = owners.find(({ uid }) => {
      const owner = this.#objects.get(this.#keyOfUid.get(uid) ?? "");
      return owner && !isMarked(owner);
    });
    if (keeper) this.#violated(`I11: revision ${revision} deletes ${key}, whose owner ${keeper.name} lives`);
  }

  #keep(key: string, before: KubernetesObject | undefined, after: KubernetesObject | undefined): void {
    const namespace = namespaceOf(key);
    const keys = this.#keysOf.get(namespace) ?? new Set();
    this.#keysOf.set(namespace, keys);
    if (before && !after) this.#keyOfUid.delete(before.metadata.uid ?? "");
    if (!after) {
      this.#objects.delete(key);
      keys.delete(key);
      return;
    }
    this.#objects.set(key, after);
    this.#keyOfUid.set(after.metadata.uid ?? "", key);
    keys.add(key);
  }

  #violated(what: string): void {
    this.#world.fail(new Violation(what));
  }
}

/** Of `/registry/<group>/<resource>/<namespace>/<name>`; "" for what has none. */
export function namespaceOf(key: string): string {
  const parts = key.split("/");
  return parts.length >= 6 ? (parts[4] ?? "") : "";
}

function isMarked({ metadata }: KubernetesObject): boolean {
  return metadata.deletionTimestamp !== undefined;
}
