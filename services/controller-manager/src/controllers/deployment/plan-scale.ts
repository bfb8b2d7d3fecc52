/** How the sizes of a Deployment's ReplicaSets change, one step at a time. Pure; upstream's rolling.go, recreate.go, sync.go. */
import type { Deployment, ReplicaSet } from "@pilothouse/api/types/apps-v1";
import {
  annotationNames,
  isRollingUpdate,
  maxSurge,
  maxUnavailable,
  nameOf,
  oldestFirst,
  replicasOf,
  totalAvailable,
  totalReplicas,
} from "./rules.ts";

export interface Resize {
  readonly replicaSet: ReplicaSet;
  readonly to: number;
}

/** How large the new ReplicaSet may be now. `all` holds it too, once it is there. */
export function newReplicaSetSize(deployment: Deployment, all: readonly ReplicaSet[], present: number): number {
  const wanted = replicasOf(deployment);
  if (!isRollingUpdate(deployment)) return wanted;
  const room = wanted + maxSurge(deployment) - totalReplicas(all);
  return room <= 0 ? present : present + Math.min(room, wanted - present);
}

/** The new ReplicaSet's next size; undefined when it has it. */
export function resizeNew(deployment: Deployment, fresh: ReplicaSet, old: readonly ReplicaSet[]): Resize | undefined {
  const [wanted, present] = [replicasOf(deployment), replicasOf(fresh)];
  const to = present > wanted ? wanted : newReplicaSetSize(deployment, [...old, fresh], present);
  return to === present ? undefined : { replicaSet: fresh, to };
}

/** Takes old pods away, the unhealthy ones first, as far as enough pods stay available. */
export function shrinkOld(deployment: Deployment, fresh: ReplicaSet, old: readonly ReplicaSet[]): Resize[] {
  const minAvailable = replicasOf(deployment) - maxUnavailable(deployment);
  const newUnavailable = replicasOf(fresh) - (fresh.status?.availableReplicas ?? 0);
  const removable = totalReplicas([...old, fresh]) - minAvailable - newUnavailable;
  if (totalReplicas(old) === 0 || removable <= 0) return [];
  const sizes = new Map(old.map((replicaSet) => [replicaSet, replicasOf(replicaSet)]));
  const shrink = (total: number, most: (replicaSet: ReplicaSet, size: number) => number): void => {
    let left = total;
    for (const replicaSet of oldestFirst(old)) {
      const size = sizes.get(replicaSet) ?? 0;
      const taken = Math.max(0, Math.min(left, most(replicaSet, size)));
      sizes.set(replicaSet, size - taken);
      left -= taken;
    }
  };
  shrink(removable, ({ status }, size) => size - (status?.availableReplicas ?? 0));
  shrink(totalAvailable([...old, fresh]) - minAvailable, (_replicaSet, size) => size);
  return changed(sizes);
}

/** After somebody changed `replicas` in the middle of a rollout: all ReplicaSets in proportion. */
export function scaleAll(deployment: Deployment, fresh: ReplicaSet | undefined, old: readonly ReplicaSet[]): Resize[] {
  const single = activeOrLatest(fresh, old);
  if (single) return changed(new Map([[single, replicasOf(deployment)]]));
  if (fresh && isSaturated(deployment, fresh))
    return changed(new Map(active(old).map((replicaSet) => [replicaSet, 0])));
  if (!isRollingUpdate(deployment)) return [];
  return changed(proportions(deployment, active(fresh ? [...old, fresh] : old)));
}

/** True when the number of replicas asked for is another than when the ReplicaSets were last sized. */
export function isScalingEvent(deployment: Deployment, replicaSets: readonly ReplicaSet[]): boolean {
  return active(replicaSets).some(({ metadata }) => {
    const desired = metadata.annotations?.[annotationNames.desiredReplicas];
    return desired !== undefined && Number(desired) !== replicasOf(deployment);
  });
}

export function active(replicaSets: readonly ReplicaSet[]): ReplicaSet[] {
  return replicaSets.filter((replicaSet) => replicasOf(replicaSet) > 0);
}

/** The one ReplicaSet that alone takes a change of size: the only one with pods, or the latest when none has. */
function activeOrLatest(fresh: ReplicaSet | undefined, old: readonly ReplicaSet[]): ReplicaSet | undefined {
  const all = fresh ? [...old, fresh] : old;
  const [first, ...more] = active(all);
  if (more.length > 0) return undefined;
  return first ?? fresh ?? oldestFirst(old).at(-1);
}

function isSaturated(deployment: Deployment, fresh: ReplicaSet): boolean {
  const wanted = replicasOf(deployment);
  const desired = Number(fresh.metadata.annotations?.[annotationNames.desiredReplicas]);
  return desired === wanted && replicasOf(fresh) === wanted && (fresh.status?.availableReplicas ?? 0) === wanted;
}

/** Larger ones take more; what rounding leaves goes to the largest. */
function proportions(deployment: Deployment, replicaSets: readonly ReplicaSet[]): Map<ReplicaSet, number> {
  const wanted = replicasOf(deployment);
  const allowed = wanted > 0 ? wanted + maxSurge(deployment) : 0;
  const toAdd = allowed - totalReplicas(replicaSets);
  const byAge = oldestFirst(replicaSets);
  // Growing favours the newer of equals, shrinking the older.
  const inOrder = (toAdd > 0 ? byAge.reverse() : byAge).sort((a, b) => replicasOf(b) - replicasOf(a));
  const sizes = new Map<ReplicaSet, number>();
  let added = 0;
  for (const replicaSet of inOrder) {
    const share = toAdd === 0 ? 0 : clampedShare(deployment, replicaSet, toAdd - added);
    sizes.set(replicaSet, replicasOf(replicaSet) + share);
    added += share;
  }
  const [largest] = inOrder;
  if (largest) sizes.set(largest, Math.max(0, (sizes.get(largest) ?? 0) + toAdd - added));
  return sizes;
}

function clampedShare(deployment: Deployment, replicaSet: ReplicaSet, left: number): number {
  const share = shareOf(deployment, replicaSet);
  return left > 0 ? Math.min(share, left) : left < 0 ? Math.max(share, left) : 0;
}

function shareOf(deployment: Deployment, replicaSet: ReplicaSet): number {
  const size = replicasOf(replicaSet);
  if (replicasOf(deployment) === 0) return -size;
  const annotated = Number(replicaSet.metadata.annotations?.[annotationNames.maxReplicas]);
  const before = annotated > 0 ? annotated : (deployment.status?.replicas ?? 0);
  if (before === 0) return 0;
  return Math.round((size * (replicasOf(deployment) + maxSurge(deployment))) / before) - size;
}

function changed(sizes: ReadonlyMap<ReplicaSet, number>): Resize[] {
  return [...sizes]
    .map(([replicaSet, to]) => ({ replicaSet, to }))
    .filter(({ replicaSet, to }) => to !== replicasOf(replicaSet))
    .sort((a, b) => (nameOf(a.replicaSet) < nameOf(b.replicaSet) ? -1 : 1));
}
