/** How many pods of a budget are healthy, should be, and may go; upstream's rules. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from "@pilothouse/api/types/policy-v1";
import { withAllowedCondition } from "@pilothouse/kinds/policy/disruptions";
import { isPodReady } from "../../core/pods.ts";
import { scaledValue, timestampOf } from "../../core/values.ts";

/** A pod whose eviction was let through is taken as gone for so long; one that is still there then counts again. */
export const DELETION_TIMEOUT_MS = 120_000;

export interface DisruptionPlan {
  readonly status: PodDisruptionBudgetStatus;
  /** Pods whose eviction was let through and that are still there. */
  readonly notDeleted: readonly Pod[];
  /** When an eviction that was let through counts no more; undefined when time alone changes nothing. */
  readonly recheckAtMs: number | undefined;
}

/** Whether it takes the scale of the pods' owners to know how many pods there should be. */
export function needsScale({ spec }: PodDisruptionBudget): boolean {
  return spec.maxUnavailable !== undefined || typeof spec.minAvailable === "string";
}

/**
 * @param pods those that the budget guards
 * @param scale how many pods their owners want together; only if `needsScale`
 */
export function plan(budget: PodDisruptionBudget, pods: readonly Pod[], scale: number, nowMs: number): DisruptionPlan {
  const { disrupted, notDeleted, recheckAtMs } = disruptions(budget, pods, nowMs);
  const { expectedPods, desiredHealthy } = wanted(budget, pods.length, scale);
  const currentHealthy = pods.filter(
    (pod) => pod.metadata.deletionTimestamp === undefined && !(nameOf(pod) in disrupted) && isPodReady(pod),
  ).length;
  // A budget that matches no pod yet allows nothing, so that its first ones are safe before they are counted.
  const disruptionsAllowed = expectedPods <= 0 ? 0 : Math.max(0, currentHealthy - desiredHealthy);
  const { generation } = budget.metadata;
  const { conditions } = budget.status ?? {};
  const status = withAllowedCondition(
    {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      ...(Object.keys(disrupted).length === 0 ? {} : { disruptedPods: disrupted }),
      disruptionsAllowed,
      currentHealthy,
      desiredHealthy,
      expectedPods,
      ...(conditions ? { conditions } : {}),
    },
    timestampOf(nowMs),
  );
  return { status, notDeleted, recheckAtMs };
}

function wanted(
  { spec }: PodDisruptionBudget,
  podCount: number,
  scale: number,
): Pick<PodDisruptionBudgetStatus, "expectedPods" | "desiredHealthy"> {
  const { maxUnavailable, minAvailable } = spec;
  if (maxUnavailable !== undefined) {
    const away = scaledValue(maxUnavailable, scale, "up");
    return { expectedPods: scale, desiredHealthy: Math.max(0, scale - away) };
  }
  if (typeof minAvailable === "string") {
    return { expectedPods: scale, desiredHealthy: scaledValue(minAvailable, scale, "up") };
  }
  return minAvailable === undefined
    ? { expectedPods: 0, desiredHealthy: 0 }
    : { expectedPods: podCount, desiredHealthy: minAvailable };
}

function disruptions({ status }: PodDisruptionBudget, pods: readonly Pod[], nowMs: number) {
  const disrupted: Record<string, string> = {};
  const notDeleted: Pod[] = [];
  let recheckAtMs: number | undefined;
  for (const pod of pods) {
    const since = status?.disruptedPods?.[nameOf(pod)];
    if (since === undefined || pod.metadata.deletionTimestamp !== undefined) continue;
    const untilMs = Date.parse(since) + DELETION_TIMEOUT_MS;
    if (untilMs < nowMs) notDeleted.push(pod);
    else {
      disrupted[nameOf(pod)] = since;
      recheckAtMs = Math.min(recheckAtMs ?? untilMs, untilMs);
    }
  }
  return { disrupted, notDeleted, recheckAtMs };
}

function nameOf({ metadata }: Pod): string {
  return metadata.name ?? "";
}
