/**
 * What a StatefulSet needs: a pod for each ordinal, made and taken away in order (or all at once), and each of the right
 * revision. Pure.
 *
 * plan(set, versions, pods, claims, now) says what to do now; what must wait for that is planned when it has happened.
 */
import type { StatefulSet, StatefulSetStatus } from "@pilothouse/api/types/apps-v1";
import type { PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { OwnerReference } from "@pilothouse/api/types/meta-v1";
import { hasPodEnded, isPodReady, podAvailableAtMs } from "../../core/pods.ts";
import { goesWithFormerPod, ownersToBe } from "./plan-claims.ts";
import {
  claimsOf,
  firstOrdinal,
  hasItsIdentity,
  identityLabels,
  isWanted,
  newPod,
  ordinalOf,
  podName,
  replicasOf,
  type Version,
  type Versions,
} from "./plan-identity.ts";
import { planUpdate } from "./plan-update.ts";
import { statusOf } from "./plan-status.ts";
import { condemnedRule, replicaRules, type Replica, type ReplicaState } from "./rules.ts";

export type StatefulSetAction =
  | { readonly do: "create"; readonly pod: Pod; readonly claims: readonly PersistentVolumeClaim[] }
  | { readonly do: "delete"; readonly pod: Pod }
  /** Claims that a pod waits for. */
  | { readonly do: "create claims"; readonly pod: Pod; readonly claims: readonly PersistentVolumeClaim[] }
  | { readonly do: "label"; readonly pod: Pod; readonly labels: Readonly<Record<string, string>> }
  | { readonly do: "own claim"; readonly claim: PersistentVolumeClaim; readonly owners: readonly OwnerReference[] };

export interface StatefulSetPlan {
  readonly actions: readonly StatefulSetAction[];
  /** As it is before the actions. */
  readonly status: StatefulSetStatus;
  /** A pod cannot be made before a claim is gone, which nobody tells of. */
  readonly isBlocked: boolean;
}

/** The claim of this name; undefined when there is none. */
export type ClaimNamed = (name: string) => PersistentVolumeClaim | undefined;

/** @param pods those that the set controls */
export function plan(
  set: StatefulSet,
  versions: Versions,
  pods: readonly Pod[],
  claimNamed: ClaimNamed,
  nowMs: number,
): StatefulSetPlan {
  const { replicas, condemned } = placesOf(set, pods, claimNamed, nowMs);
  const isBlocked = replicas.some(({ state }) => state === "blocked");
  const finish = (actions: readonly StatefulSetAction[]): StatefulSetPlan => ({
    actions,
    status: statusOf(set, versions, pods, nowMs),
    isBlocked,
  });
  if (set.metadata.deletionTimestamp !== undefined) return finish([]);
  const isOrdered = set.spec.podManagementPolicy !== "Parallel";
  const actions: StatefulSetAction[] = [];
  for (const replica of replicas) {
    const { does, halts } = replicaRules[replica.state];
    if (does === "create") actions.push(creation(set, versions, replica.ordinal, claimNamed));
    if (does === "delete" && replica.pod) actions.push({ do: "delete", pod: replica.pod });
    if (does === "keep" && replica.pod) actions.push(...keeping(set, replica.pod, replica, isOrdered, claimNamed));
    if (halts && isOrdered) return finish(actions);
  }
  for (const { ordinal, pod } of condemned) if (pod) actions.push(...owning(set, ordinal, pod, claimNamed));
  const firstUnwell = [...replicas, ...condemned.toReversed()].find(({ state }) => state !== "available");
  for (const replica of condemned) {
    const { does, halts } = condemnedRule(replica.state, !isOrdered || replica === firstUnwell);
    if (does === "delete" && replica.pod) actions.push({ do: "delete", pod: replica.pod });
    if (halts && isOrdered) return finish(actions);
  }
  return finish([...actions, ...planUpdate(set, versions, replicas).map((pod) => ({ do: "delete", pod }) as const)]);
}

/** When a pod that is ready will have been so for long enough; undefined when time alone changes nothing. */
export function nextAvailabilityMs({ spec }: StatefulSet, pods: readonly Pod[], nowMs: number): number | undefined {
  const times = pods.map((pod) => podAvailableAtMs(pod, spec.minReadySeconds ?? 0) ?? 0).filter((atMs) => atMs > nowMs);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** The places that are wanted, lowest first, and the pods of other ordinals, highest first. */
function placesOf(
  set: StatefulSet,
  pods: readonly Pod[],
  claimNamed: ClaimNamed,
  nowMs: number,
): { readonly replicas: readonly Replica[]; readonly condemned: readonly Replica[] } {
  const byOrdinal = new Map<number, Pod>();
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal !== undefined) byOrdinal.set(ordinal, pod);
  }
  const place = (ordinal: number): Replica => {
    const pod = byOrdinal.get(ordinal);
    const state = pod ? stateOf(set, pod, nowMs) : isBlockedPlace(set, ordinal, claimNamed) ? "blocked" : "missing";
    return { ordinal, pod, state };
  };
  const unwanted = [...byOrdinal.keys()].filter((ordinal) => !isWanted(set, ordinal));
  return {
    replicas: Array.from({ length: replicasOf(set) }, (_, index) => place(firstOrdinal(set) + index)),
    condemned: unwanted.sort((a, b) => b - a).map(place),
  };
}

function stateOf({ spec }: StatefulSet, pod: Pod, nowMs: number): ReplicaState {
  const isGoing = pod.metadata.deletionTimestamp !== undefined;
  if (hasPodEnded(pod)) return isGoing ? "ended, going" : "ended";
  if (isGoing) return "going";
  if (pod.status?.phase !== "Running" || !isPodReady(pod)) return "not ready";
  return (podAvailableAtMs(pod, spec.minReadySeconds ?? 0) ?? Infinity) <= nowMs ? "available" : "not available";
}

function isBlockedPlace(set: StatefulSet, ordinal: number, claimNamed: ClaimNamed): boolean {
  return claimsOf(set, ordinal).some(({ metadata }) => {
    const claim = claimNamed(metadata.name ?? "");
    return claim !== undefined && goesWithFormerPod(podName(set, ordinal), undefined, claim);
  });
}

function creation(set: StatefulSet, versions: Versions, ordinal: number, claimNamed: ClaimNamed): StatefulSetAction {
  const pod = newPod(set, ordinal, versionFor(set, versions, ordinal));
  return { do: "create", pod, claims: missingClaims(set, ordinal, pod, claimNamed) };
}

/** Below the partition pods are made again as they were; without one, as many as have not been reached by the rollout. */
function versionFor({ spec, status }: StatefulSet, { current, update }: Versions, ordinal: number): Version {
  const { type = "RollingUpdate", rollingUpdate } = spec.updateStrategy ?? {};
  if (type !== "RollingUpdate") return update;
  const asBefore = rollingUpdate ? (rollingUpdate.partition ?? 0) : (status?.currentReplicas ?? 0);
  return ordinal < (spec.ordinals?.start ?? 0) + asBefore ? current : update;
}

function keeping(
  set: StatefulSet,
  pod: Pod,
  { ordinal, state }: Replica,
  isOrdered: boolean,
  claimNamed: ClaimNamed,
): StatefulSetAction[] {
  const actions: StatefulSetAction[] = [];
  const isPending = pod.status?.phase === "Pending";
  const claims = isPending ? missingClaims(set, ordinal, pod, claimNamed) : [];
  if (claims.length > 0) actions.push({ do: "create claims", pod, claims });
  if (isOrdered && state !== "available") return actions;
  if (!hasItsIdentity(set, ordinal, pod)) actions.push({ do: "label", pod, labels: identityLabels(set, ordinal) });
  return [...actions, ...owning(set, ordinal, pod, claimNamed)];
}

function owning(set: StatefulSet, ordinal: number, pod: Pod, claimNamed: ClaimNamed): StatefulSetAction[] {
  return claimsOf(set, ordinal).flatMap(({ metadata }) => {
    const claim = claimNamed(metadata.name ?? "");
    const owners = claim && ownersToBe(set, ordinal, pod, claim);
    return claim && owners ? [{ do: "own claim", claim, owners } as const] : [];
  });
}

function missingClaims(
  set: StatefulSet,
  ordinal: number,
  pod: Pod,
  claimNamed: ClaimNamed,
): readonly PersistentVolumeClaim[] {
  return claimsOf(set, ordinal)
    .filter(({ metadata }) => claimNamed(metadata.name ?? "") === undefined)
    .map((claim) => {
      const owners = ownersToBe(set, ordinal, pod, claim);
      return owners ? { ...claim, metadata: { ...claim.metadata, ownerReferences: owners } } : claim;
    });
}
