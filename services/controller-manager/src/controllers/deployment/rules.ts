/** The words of rollouts: surge, availability, revisions, and which ReplicaSet is the new one. Pure; upstream's deploymentutil. */
import type { Deployment, ReplicaSet } from "@pilothouse/api/types/apps-v1";
import type { PodTemplateSpec } from "@pilothouse/api/types/core-v1";
import { canonicalJson, scaledValue } from "../../core/values.ts";

export const annotationNames = {
  revision: "deployment.kubernetes.io/revision",
  revisionHistory: "deployment.kubernetes.io/revision-history",
  desiredReplicas: "deployment.kubernetes.io/desired-replicas",
  maxReplicas: "deployment.kubernetes.io/max-replicas",
} as const;

export const TEMPLATE_HASH_LABEL = "pod-template-hash";

export function replicasOf({ spec }: Deployment | ReplicaSet): number {
  return spec.replicas ?? 1;
}

export function totalReplicas(replicaSets: readonly ReplicaSet[]): number {
  return replicaSets.reduce((sum, replicaSet) => sum + replicasOf(replicaSet), 0);
}

/**
 * Available pods that will still be there when every ReplicaSet has the size it was given: one that has not shrunk yet still
 * counts pods in its status that are already given up.
 */
export function totalAvailable(replicaSets: readonly ReplicaSet[]): number {
  return replicaSets.reduce((sum, one) => sum + Math.min(one.status?.availableReplicas ?? 0, replicasOf(one)), 0);
}

export function isRollingUpdate({ spec }: Deployment): boolean {
  return spec.strategy?.type !== "Recreate";
}

/** How many pods may be there beyond the number asked for. */
export function maxSurge(deployment: Deployment): number {
  return isRollingUpdate(deployment) ? fenceposts(deployment).surge : 0;
}

/** How many of the pods asked for may be missing. */
export function maxUnavailable(deployment: Deployment): number {
  const replicas = replicasOf(deployment);
  if (!isRollingUpdate(deployment) || replicas === 0) return 0;
  return Math.min(fenceposts(deployment).unavailable, replicas);
}

/** Surge rounds up, unavailability down; both 0 would never move, so one pod may be missing then. */
function fenceposts(deployment: Deployment): { readonly surge: number; readonly unavailable: number } {
  const replicas = replicasOf(deployment);
  const limits = deployment.spec.strategy?.rollingUpdate;
  const surge = scaledValue(limits?.maxSurge, replicas, "up");
  const unavailable = scaledValue(limits?.maxUnavailable, replicas, "down");
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

/** The oldest ReplicaSet with this very template: after a rollback that is an old one. */
export function findNewReplicaSet({ spec }: Deployment, replicaSets: readonly ReplicaSet[]): ReplicaSet | undefined {
  const wanted = templateText(spec.template);
  return oldestFirst(replicaSets).find((replicaSet) => templateText(replicaSet.spec.template ?? {}) === wanted);
}

/** What makes two templates the same; the hash label is made from it and does not count. */
export function templateText({ metadata, spec }: PodTemplateSpec): string {
  const labels = Object.entries(metadata?.labels ?? {}).filter(([key]) => key !== TEMPLATE_HASH_LABEL);
  return canonicalJson({
    labels: Object.fromEntries(labels),
    annotations: metadata?.annotations ?? {},
    finalizers: metadata?.finalizers ?? [],
    spec,
  });
}

export function revisionOf({ metadata }: ReplicaSet | Deployment): number {
  const revision = Number(metadata.annotations?.[annotationNames.revision] ?? 0);
  return Number.isSafeInteger(revision) ? revision : 0;
}

export function oldestFirst(replicaSets: readonly ReplicaSet[]): ReplicaSet[] {
  return [...replicaSets].sort((a, b) => compare(createdAt(a), createdAt(b)) || compare(nameOf(a), nameOf(b)));
}

export function nameOf({ metadata }: Deployment | ReplicaSet): string {
  return metadata.name ?? "";
}

function createdAt({ metadata }: ReplicaSet): string {
  return metadata.creationTimestamp ?? "";
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
