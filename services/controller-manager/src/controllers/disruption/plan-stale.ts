/** Pods that somebody was about to take away and did not: after a while nobody is believed to be about to. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { withCondition } from "../../core/conditions.ts";
import { hasPodEnded, podCondition } from "../../core/pods.ts";
import { timestampOf } from "../../core/values.ts";

/** Upstream's stalePodDisruptionTimeout. */
export const STALE_AFTER_MS = 120_000;

/**
 * When what says that the pod is about to go says so no more, in epoch milliseconds; undefined where nothing says so, where it goes or
 * has ended, and where its kubelet says so: that may take as long as it likes.
 */
export function staleAtMs(pod: Pod): number | undefined {
  if (pod.metadata.deletionTimestamp !== undefined || hasPodEnded(pod)) return undefined;
  const target = podCondition(pod, "DisruptionTarget");
  if (target?.status !== "True" || target.reason === "TerminationByKubelet") return undefined;
  return (Date.parse(target.lastTransitionTime ?? "") || 0) + STALE_AFTER_MS;
}

export function withoutTarget(pod: Pod, nowMs: number): Pod {
  const { generation } = pod.metadata;
  const condition = {
    type: "DisruptionTarget",
    status: "False",
    lastTransitionTime: timestampOf(nowMs),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
  return { ...pod, status: { ...pod.status, conditions: withCondition(pod.status?.conditions, condition) } };
}
