/** What a DaemonSet tells about itself, and which of its former revisions are forgotten. Pure. */
import type { ControllerRevision, DaemonSet, DaemonSetStatus } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { isPodReady } from "../../core/pods.ts";
import { POD_REVISION_LABEL } from "../../core/revisions.ts";
import { isUpdated, verdictOn } from "./rules.ts";
import { isAvailable, oldestFirst, podsByNode, type DaemonSetWorld } from "./plan-world.ts";

export function statusOf({ set, pods, nodes, hash, nowMs }: DaemonSetWorld, collisionCount: number): DaemonSetStatus {
  const byNode = podsByNode(pods);
  const verdicts = nodes.map((node) => ({ ...verdictOn(set, node), pods: byNode.get(node.metadata.name ?? "") ?? [] }));
  const wanted = verdicts.filter(({ shouldRun }) => shouldRun);
  const oldest = wanted.flatMap(({ pods }) => oldestFirst(pods).slice(0, 1));
  const available = oldest.filter((pod) => isPodReady(pod) && isAvailable(set, pod, nowMs)).length;
  const { generation } = set.metadata;
  const conditions = set.status?.conditions ?? [];
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    desiredNumberScheduled: wanted.length,
    currentNumberScheduled: oldest.length,
    numberMisscheduled: verdicts.filter(({ shouldRun, pods }) => !shouldRun && pods.length > 0).length,
    numberReady: oldest.filter(isPodReady).length,
    updatedNumberScheduled: oldest.filter((pod) => isUpdated(set, pod, hash)).length,
    numberAvailable: available,
    numberUnavailable: wanted.length - available,
    ...(collisionCount > 0 ? { collisionCount } : {}),
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

/** Beyond the limit the oldest go, but not those that a pod is made of. @param old oldest first */
export function surplusRevisions(
  { spec }: DaemonSet,
  old: readonly ControllerRevision[],
  pods: readonly Pod[],
): ControllerRevision[] {
  const live = new Set(pods.map(({ metadata }) => metadata.labels?.[POD_REVISION_LABEL]));
  const surplus = Math.max(0, old.length - (spec.revisionHistoryLimit ?? 10));
  return old.filter(({ metadata }) => !live.has(metadata.labels?.[POD_REVISION_LABEL])).slice(0, surplus);
}
