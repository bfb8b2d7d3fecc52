/**
 * What a ReplicaSet needs: as many active pods as it asks for. Pure.
 *
 * plan(ReplicaSet, pods that could concern it, now) says which pods to adopt, let go, create or delete; `statusOf` says what
 * to tell. The names of new pods are the executor's.
 */
import type { ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";
import { claim } from "../../core/ownership.ts";
import { podFromTemplate } from "../../core/pod-from-template.ts";
import { hasPodEnded, isPodActive, isPodReady, podAvailableAtMs } from "../../core/pods.ts";
import { timestampOf } from "../../core/values.ts";
import { inDeletionOrder } from "./rules.ts";

export type ReplicaSetAction =
  | { readonly do: "adopt" | "release" | "delete"; readonly pod: Pod }
  | { readonly do: "create"; readonly pod: Pod };

export interface ReplicaSetPlan {
  readonly actions: readonly ReplicaSetAction[];
  /** The pods that count, before the actions. */
  readonly active: readonly Pod[];
  readonly terminating: readonly Pod[];
}

/** At most this many creates or deletes at a time. */
const BURST = 500;

/**
 * @param pods those that the ReplicaSet controls, and those of its namespace that nobody does
 * @param siblings active pods of the same Deployment, for spreading what is left when pods go
 */
export function plan(
  replicaSet: ReplicaSet,
  pods: readonly Pod[],
  siblings: readonly Pod[],
  nowMs: number,
): ReplicaSetPlan {
  const { owned, adopt, release } = claim(
    replicaSet,
    labelSelectorOf(replicaSet.spec.selector),
    pods,
    (pod) => !hasPodEnded(pod),
  );
  const claims: ReplicaSetAction[] = [
    ...release.map((pod) => ({ do: "release", pod }) as const),
    ...adopt.map((pod) => ({ do: "adopt", pod }) as const),
  ];
  const active = [...owned, ...adopt].filter(isPodActive);
  const terminating = owned.filter((pod) => pod.metadata.deletionTimestamp !== undefined && !hasPodEnded(pod));
  if (replicaSet.metadata.deletionTimestamp !== undefined) return { actions: claims, active, terminating };
  return { actions: [...claims, ...scaling(replicaSet, active, siblings, nowMs)], active, terminating };
}

export interface CreateFailure {
  readonly reason: "FailedCreate" | "FailedDelete";
  readonly message: string;
}

export function statusOf(
  replicaSet: ReplicaSet,
  { active, terminating }: Pick<ReplicaSetPlan, "active" | "terminating">,
  failure: CreateFailure | undefined,
  nowMs: number,
): ReplicaSetStatus {
  const { template, minReadySeconds = 0 } = replicaSet.spec;
  const wanted = Object.entries(template?.metadata?.labels ?? {});
  const conditions = conditionsOf(replicaSet, failure, nowMs);
  const { generation } = replicaSet.metadata;
  return {
    replicas: active.length,
    fullyLabeledReplicas: active.filter(({ metadata }) =>
      wanted.every(([key, value]) => metadata.labels?.[key] === value),
    ).length,
    readyReplicas: active.filter(isPodReady).length,
    availableReplicas: active.filter((pod) => (podAvailableAtMs(pod, minReadySeconds) ?? Infinity) <= nowMs).length,
    terminatingReplicas: terminating.length,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

/** When a pod that is ready will have been so for long enough; undefined when time alone changes nothing. */
export function nextAvailabilityMs({ spec }: ReplicaSet, active: readonly Pod[], nowMs: number): number | undefined {
  const times = active
    .map((pod) => podAvailableAtMs(pod, spec.minReadySeconds ?? 0) ?? 0)
    .filter((atMs) => atMs > nowMs);
  return times.length === 0 ? undefined : Math.min(...times);
}

function scaling(
  replicaSet: ReplicaSet,
  active: readonly Pod[],
  siblings: readonly Pod[],
  nowMs: number,
): ReplicaSetAction[] {
  const surplus = active.length - (replicaSet.spec.replicas ?? 1);
  if (surplus < 0) {
    // A template that its own selector does not match would make pods for ever; validation forbids it, a race may not.
    if (!matchesLabels(labelSelectorOf(replicaSet.spec.selector), replicaSet.spec.template?.metadata?.labels))
      return [];
    const { apiVersion = "apps/v1", kind = "ReplicaSet" } = replicaSet;
    const pod = podFromTemplate(replicaSet.spec.template, { ...replicaSet, apiVersion, kind });
    return Array.from({ length: Math.min(-surplus, BURST) }, () => ({ do: "create", pod }));
  }
  if (surplus === 0) return [];
  const onNode = new Map<string, number>();
  for (const { spec } of siblings) onNode.set(spec?.nodeName ?? "", (onNode.get(spec?.nodeName ?? "") ?? 0) + 1);
  const ranked = active.map((pod) => ({ pod, neighbours: onNode.get(pod.spec?.nodeName ?? "") ?? 0 }));
  return inDeletionOrder(ranked, nowMs)
    .slice(0, Math.min(surplus, BURST))
    .map((pod) => ({ do: "delete", pod }));
}

function conditionsOf(
  { status }: ReplicaSet,
  failure: CreateFailure | undefined,
  nowMs: number,
): ReplicaSetCondition[] {
  const others = (status?.conditions ?? []).filter(({ type }) => type !== "ReplicaFailure");
  if (!failure) return others;
  const before = status?.conditions?.find(({ type }) => type === "ReplicaFailure");
  if (before?.status === "True" && before.reason === failure.reason) return [...others, before];
  return [...others, { type: "ReplicaFailure", status: "True", lastTransitionTime: timestampOf(nowMs), ...failure }];
}
