/** What a StatefulSet tells about itself. Pure. */
import type { StatefulSet, StatefulSetStatus } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { isPodReady, podAvailableAtMs } from "../../core/pods.ts";
import { replicasOf, revisionNameOf, type Versions } from "./plan-identity.ts";

export function statusOf(
  set: StatefulSet,
  { current, update }: Versions,
  pods: readonly Pod[],
  nowMs: number,
): StatefulSetStatus {
  const { minReadySeconds = 0 } = set.spec;
  const ready = pods.filter((pod) => pod.status?.phase === "Running" && isPodReady(pod));
  const available = ready.filter((pod) => (podAvailableAtMs(pod, minReadySeconds) ?? Infinity) <= nowMs);
  const staying = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const of = (revision: string): number => staying.filter((pod) => revisionNameOf(pod) === revision).length;
  const { generation } = set.metadata;
  const conditions = set.status?.conditions ?? [];
  return completed(set, {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    replicas: pods.length,
    readyReplicas: ready.length,
    currentReplicas: of(current.name),
    updatedReplicas: of(update.name),
    currentRevision: current.name,
    updateRevision: update.name,
    availableReplicas: available.length,
    ...(conditions.length === 0 ? {} : { conditions }),
  });
}

/** A rollout that has reached every pod is over: the new revision is the current one. */
function completed(set: StatefulSet, status: StatefulSetStatus): StatefulSetStatus {
  const wanted = replicasOf(set);
  const { replicas, readyReplicas, updatedReplicas = 0, updateRevision = "" } = status;
  const isRolling = (set.spec.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate";
  if (!isRolling || [replicas, readyReplicas, updatedReplicas].some((count) => count !== wanted)) return status;
  return { ...status, currentReplicas: updatedReplicas, currentRevision: updateRevision };
}
