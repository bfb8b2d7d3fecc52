/** What a PodDisruptionBudget says of its pods, and what an eviction makes of it; upstream's rules and words. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { Condition } from "@pilothouse/api/types/meta-v1";
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from "@pilothouse/api/types/policy-v1";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";

const DISRUPTION_ALLOWED = "DisruptionAllowed";
/** More evictions than these that the controller has not confirmed are no state to go on from. */
const MAX_DISRUPTED_PODS = 2_000;

export type EvictionVerdict =
  /** The budget has nothing to say. */
  | { readonly kind: "free" }
  /** It costs this: the budget's new status. */
  | { readonly kind: "spends"; readonly status: PodDisruptionBudgetStatus }
  /** Not now: 429, with the cause's message. */
  | { readonly kind: "spent"; readonly cause: string; readonly retryAfterSeconds: number }
  /** The budget's own status makes no sense: 403. */
  | { readonly kind: "broken"; readonly why: string };

/** A budget without a selector guards nothing, one whose selector is empty all pods of its namespace. */
export function isGuardedBy({ metadata }: Pod, { spec }: PodDisruptionBudget): boolean {
  try {
    return spec?.selector !== undefined && matchesLabels(labelSelectorOf(spec.selector), metadata.labels);
  } catch {
    return false; // a selector of an older version that is none
  }
}

/** A pod that serves nobody yet, or no more, may go whatever any budget says. */
export function isBeyondBudgets({ metadata, status }: Pod): boolean {
  if (metadata.deletionTimestamp !== undefined) return true;
  return ["Succeeded", "Failed", "Pending"].includes(status?.phase ?? "");
}

export function evictionVerdict(pod: Pod, budget: PodDisruptionBudget, now: string): EvictionVerdict {
  const { metadata, spec } = budget;
  const { name = "", generation = 0 } = metadata;
  const status = budget.status ?? NOTHING;
  if (!isReady(pod)) {
    if (spec?.unhealthyPodEvictionPolicy === "AlwaysAllow") return { kind: "free" };
    if (status.currentHealthy >= status.desiredHealthy && status.desiredHealthy > 0) return { kind: "free" };
  }
  if ((status.observedGeneration ?? 0) < generation) {
    return { kind: "spent", cause: stillProcessed(name), retryAfterSeconds: 10 };
  }
  if (status.disruptionsAllowed < 0) return { kind: "broken", why: "pdb disruptions allowed is negative" };
  if (Object.keys(status.disruptedPods ?? {}).length > MAX_DISRUPTED_PODS) {
    const why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
    return { kind: "broken", why };
  }
  if (status.disruptionsAllowed === 0) {
    const needs = `needs ${status.desiredHealthy} healthy pods and has ${status.currentHealthy} currently`;
    return { kind: "spent", cause: `The disruption budget ${name} ${needs}`, retryAfterSeconds: 0 };
  }
  const left = status.disruptionsAllowed - 1;
  const disruptedPods = { ...status.disruptedPods, [pod.metadata.name ?? ""]: now };
  const spent = { ...status, disruptionsAllowed: left, disruptedPods };
  return { kind: "spends", status: left === 0 ? withAllowedCondition(spent, now) : spent };
}

function stillProcessed(name: string): string {
  return `The disruption budget ${name} is still being processed by the server.`;
}

const NOTHING: PodDisruptionBudgetStatus = {
  disruptionsAllowed: 0,
  currentHealthy: 0,
  desiredHealthy: 0,
  expectedPods: 0,
};

/** The status with its condition: whether a pod may be disrupted now. */
export function withAllowedCondition(status: PodDisruptionBudgetStatus, now: string): PodDisruptionBudgetStatus {
  const isAllowed = status.disruptionsAllowed > 0;
  return withCondition(status, now, {
    status: isAllowed ? "True" : "False",
    reason: isAllowed ? "SufficientPods" : "InsufficientPods",
    message: "",
  });
}

/** The controller could not find out: nothing may be disrupted. */
export function withSyncFailure(
  status: PodDisruptionBudgetStatus,
  generation: number,
  now: string,
  message: string,
): PodDisruptionBudgetStatus {
  const closed = { ...status, disruptionsAllowed: 0, observedGeneration: generation };
  return withCondition(closed, now, { status: "False", reason: "SyncFailed", message });
}

function withCondition(
  status: PodDisruptionBudgetStatus,
  now: string,
  said: Pick<Condition, "status" | "reason" | "message">,
): PodDisruptionBudgetStatus {
  const { conditions = [], observedGeneration } = status;
  const before = conditions.find(({ type }) => type === DISRUPTION_ALLOWED);
  const condition: Condition = {
    type: DISRUPTION_ALLOWED,
    ...said,
    lastTransitionTime: before?.status === said.status ? before.lastTransitionTime : now,
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
  };
  const isKnown = before !== undefined;
  return {
    ...status,
    conditions: isKnown ? conditions.map((one) => (one === before ? condition : one)) : [...conditions, condition],
  };
}

export function isReady({ status }: Pod): boolean {
  return (status?.conditions ?? []).some((condition) => condition.type === "Ready" && condition.status === "True");
}
