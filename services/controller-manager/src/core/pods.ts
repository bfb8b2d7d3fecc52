/** What a pod's state means to those who count pods. Pure; times are wall-clock milliseconds. */
import type { Pod, PodCondition } from "@pilothouse/api/types/core-v1";

export function podCondition(pod: Pod, type: string): PodCondition | undefined {
  return pod.status?.conditions?.find((condition) => condition.type === type);
}

export function isPodReady(pod: Pod): boolean {
  return podCondition(pod, "Ready")?.status === "True";
}

/** Neither ended nor on its way out. */
export function isPodActive(pod: Pod): boolean {
  return !hasPodEnded(pod) && pod.metadata.deletionTimestamp === undefined;
}

export function hasPodEnded({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** Since when the pod is ready; undefined when it is not. */
export function podReadySinceMs(pod: Pod): number | undefined {
  const ready = podCondition(pod, "Ready");
  if (ready?.status !== "True") return undefined;
  return ready.lastTransitionTime === undefined ? 0 : Date.parse(ready.lastTransitionTime);
}

/** When the pod has been ready for long enough; undefined when it is not ready. */
export function podAvailableAtMs(pod: Pod, minReadySeconds: number): number | undefined {
  const sinceMs = podReadySinceMs(pod);
  return sinceMs === undefined ? undefined : sinceMs + minReadySeconds * 1_000;
}
