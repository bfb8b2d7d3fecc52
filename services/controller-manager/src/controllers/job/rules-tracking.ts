/** How a Job's pods are counted once: what of a pod counts as ended, and the finalizer that keeps it until it is counted. Pure. */
import type { Job, JobSpec } from "@pilothouse/api/types/batch-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { hasPodEnded, podCondition } from "../../core/pods.ts";

export const TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking";
const OUR_NAME = "kubernetes.io/job-controller";

/** Kept until its Job has counted it. */
export function isTracked({ metadata }: Pod): boolean {
  return metadata.finalizers?.includes(TRACKING_FINALIZER) === true;
}

/** Another controller looks after this Job. */
export function isManagedElsewhere({ spec }: Job): boolean {
  return spec.managedBy !== undefined && spec.managedBy !== OUR_NAME;
}

export function isSuspended({ suspend }: JobSpec): boolean {
  return suspend === true;
}

/** A pod gets a successor only when it has ended, not when it is asked to end. */
export function onlyReplacesEnded({ podReplacementPolicy, podFailurePolicy }: JobSpec): boolean {
  return podReplacementPolicy === "Failed" || podFailurePolicy !== undefined;
}

/** Pods that are deleted count as failed at once, unless their end is waited for: they may never get to say so. */
export function hasPodFailed(pod: Pod, spec: JobSpec): boolean {
  if (pod.status?.phase === "Failed") return true;
  if (onlyReplacesEnded(spec)) return false;
  return pod.metadata.deletionTimestamp !== undefined && pod.status?.phase !== "Succeeded";
}

export function isPodTerminating(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined && !hasPodEnded(pod);
}

/** When a pod ended, as far as it can be told; epoch milliseconds. */
export function finishedAtMs(pod: Pod): number {
  return (
    finishOfContainers(pod) ?? sinceNotReady(pod) ?? deletedAt(pod) ?? Date.parse(pod.metadata.creationTimestamp ?? "")
  );
}

/** The last container's end; undefined while one runs. */
function finishOfContainers({ status }: Pod): number | undefined {
  const ends = (status?.containerStatuses ?? []).map(({ state }) => Date.parse(state?.terminated?.finishedAt ?? ""));
  return ends.length === 0 || ends.some(Number.isNaN) ? undefined : Math.max(...ends);
}

function sinceNotReady(pod: Pod): number | undefined {
  const ready = podCondition(pod, "Ready");
  return ready?.status === "False" && ready.lastTransitionTime ? Date.parse(ready.lastTransitionTime) : undefined;
}

function deletedAt({ metadata }: Pod): number | undefined {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = metadata;
  return deletionTimestamp === undefined
    ? undefined
    : Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1_000;
}
