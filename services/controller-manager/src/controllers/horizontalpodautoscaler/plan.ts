/** What becomes of an autoscaler's target, and what its status says then: upstream's order of rules. Pure. */
import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerCondition,
  HorizontalPodAutoscalerStatus,
  MetricStatus,
} from "@pilothouse/api/types/autoscaling-v2";
import type { Scale } from "@pilothouse/api/types/autoscaling-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { parseQuantity } from "@pilothouse/quantity";
import { timestampOf } from "../../core/values.ts";
import { bounded, withScaleEvent, type History, type Verdict } from "./plan-behavior.ts";
import { planMetric, type MetricPlan, type Reading } from "./plan-metrics.ts";
import type { Tolerance } from "./plan-replicas.ts";

const DEFAULT_TOLERANCE = 0.1;
const NANOS = 1e9;

export interface AutoscalerView {
  readonly autoscaler: HorizontalPodAutoscaler;
  readonly scale: Scale;
  /** All that the scale's selector means. */
  readonly pods: readonly Pod[];
  /** Of each metric, in order; asked for only where `wantsMetrics`. */
  readonly readings: readonly Reading[];
  /** All autoscalers that some of the pods belong to, `namespace/name`. */
  readonly claimants: readonly string[];
  readonly history: History;
}

export interface PlannedEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export interface AutoscalerPlan {
  /** As it is where nothing is left to scale. */
  readonly status: HorizontalPodAutoscalerStatus;
  readonly events: readonly PlannedEvent[];
  readonly rescale: { readonly replicas: number; readonly reason: string } | undefined;
  readonly history: History;
}

/** Whether metrics decide: not where scaling is off, or bounds alone say what to do. */
export function wantsMetrics({ spec }: HorizontalPodAutoscaler, scale: Scale): boolean {
  const current = scale.spec.replicas ?? 0;
  const least = spec.minReplicas ?? 1;
  return !(current === 0 && least !== 0) && current <= spec.maxReplicas && current >= least;
}

export function plan(view: AutoscalerView, nowMs: number): AutoscalerPlan {
  const { autoscaler, scale, history } = view;
  const { maxReplicas, minReplicas: least = 1 } = autoscaler.spec;
  const current = scale.spec.replicas ?? 0;
  const remembered: History =
    history.recommendations.length === 0
      ? { ...history, recommendations: [{ replicas: current, atMs: nowMs }] }
      : history;
  const conditions = conditionsOf(autoscaler, nowMs);
  conditions.set("AbleToScale", {
    status: "True",
    reason: "SucceededGetScale",
    message: "the HPA controller was able to get the target's current scale",
  });
  const base: Base = { view, current, conditions, history: remembered, nowMs };
  if (wantsMetrics(autoscaler, scale)) return planByMetrics(base);
  if (current === 0) {
    conditions.set("ScalingActive", {
      status: "False",
      reason: "ScalingDisabled",
      message: "scaling is disabled since the replica count of the target is zero",
    });
    return planned(base, current, [], []);
  }
  const [replicas, reason] =
    current > maxReplicas
      ? [maxReplicas, "Current number of replicas above Spec.MaxReplicas"]
      : [least, "Current number of replicas below Spec.MinReplicas"];
  return { ...planned(base, replicas, [], []), rescale: { replicas, reason } };
}

/** The target's scale could not be had. */
export function planWithoutScale(
  autoscaler: HorizontalPodAutoscaler,
  why: string,
  nowMs: number,
): AutoscalerPlan["status"] {
  const conditions = conditionsOf(autoscaler, nowMs);
  conditions.set("AbleToScale", {
    status: "False",
    reason: "FailedGetScale",
    message: `the HPA controller was unable to get the target's current scale: ${why}`,
  });
  const known = { currentMetrics: [], desiredReplicas: 0, ...autoscaler.status };
  return { ...known, conditions: conditions.list() };
}

/** What the status says once the target has its new size, and what is remembered of that; or why it has not. */
export function afterRescale(
  autoscaler: HorizontalPodAutoscaler,
  scale: Scale,
  { status, rescale, history }: AutoscalerPlan,
  failure: string | undefined,
  nowMs: number,
): Pick<AutoscalerPlan, "status" | "events" | "history"> {
  const { replicas = 0, reason = "" } = rescale ?? {};
  const current = scale.spec.replicas ?? 0;
  const conditions = conditionsOf({ ...autoscaler, status }, nowMs);
  if (failure !== undefined) {
    conditions.set("AbleToScale", {
      status: "False",
      reason: "FailedUpdateScale",
      message: `the HPA controller was unable to update the target scale: ${failure}`,
    });
    const message = `New size: ${replicas}; reason: ${reason}; error: ${failure}`;
    const kept = {
      ...statusOf(autoscaler, current, autoscaler.status?.desiredReplicas ?? 0),
      ...metricsOf(status.currentMetrics),
    };
    return {
      status: { ...kept, conditions: conditions.list() },
      events: [{ type: "Warning", reason: "FailedRescale", message }],
      history,
    };
  }
  conditions.set("AbleToScale", {
    status: "True",
    reason: "SucceededRescale",
    message: `the HPA controller was able to update the target scale to ${replicas}`,
  });
  const message = `New size: ${replicas}; reason: ${reason}`;
  return {
    status: { ...status, lastScaleTime: timestampOf(nowMs), conditions: conditions.list() },
    events: [{ type: "Normal", reason: "SuccessfulRescale", message }],
    history: withScaleEvent(history, autoscaler.spec.behavior, current, replicas, nowMs),
  };
}

interface Base {
  readonly view: AutoscalerView;
  readonly current: number;
  readonly conditions: Conditions;
  readonly history: History;
  readonly nowMs: number;
}

function planByMetrics(base: Base): AutoscalerPlan {
  const { view, current, conditions, history, nowMs } = base;
  const { autoscaler, scale, pods, readings } = view;
  const { metrics = [], behavior, maxReplicas, minReplicas = 1 } = autoscaler.spec;
  const problem = selectorProblem(view);
  if (problem) return withoutCount(base, problem.condition, problem.error, [problem.event]);
  const counted = { pods, tolerance: toleranceOf(autoscaler), nowMs };
  const replicas = { spec: current, status: scale.status?.replicas ?? 0 };
  const plans = metrics.map((metric, index) =>
    planMetric(metric, readings[index] ?? { error: "not asked for" }, replicas, counted),
  );
  const failed = plans.filter((one): one is Extract<MetricPlan, { error: string }> => "error" in one);
  const events = failed.map(({ reason, error }) => ({ type: "Warning", reason, message: error }) as const);
  const [first] = failed;
  const highest = plans.reduce<Extract<MetricPlan, { replicas: number }> | undefined>(
    (best, one) => ("replicas" in one && (!best || one.replicas > best.replicas) ? one : best),
    undefined,
  );
  const told =
    first && `invalid metrics (${failed.length} invalid out of ${metrics.length}), first error is: ${first.told}`;
  // A metric that cannot be had might ask for more: nothing goes away on the word of the others.
  if (!highest || (first && highest.replicas < current)) {
    const { reason, error } = first ?? { reason: "FailedGetResourceMetric", error: "no metrics" };
    const message = `the HPA was unable to compute the replica count: ${error}`;
    return withoutCount(base, { status: "False", reason, message }, told ?? error, events, statusesOf(plans));
  }
  conditions.set("ScalingActive", {
    status: "True",
    reason: "ValidMetricFound",
    message: `the HPA was able to successfully calculate a replica count from ${highest.name}`,
  });
  const wanted = { current, desired: highest.replicas, least: minReplicas, most: maxReplicas, behavior };
  const decided = bounded(wanted, history, nowMs);
  conditions.set("AbleToScale", decided.ableToScale);
  conditions.set("ScalingLimited", decided.scalingLimited);
  const after = { ...base, history: { ...history, recommendations: decided.recommendations } };
  const all = planned(after, decided.replicas, statusesOf(plans), events);
  if (decided.replicas === current) return all;
  const reason =
    highest.replicas > current
      ? `${highest.name} above target`
      : highest.replicas < current
        ? "All metrics below target"
        : "";
  return { ...all, rescale: { replicas: decided.replicas, reason } };
}

interface SelectorProblem {
  readonly condition: Verdict;
  readonly error: string;
  readonly event: PlannedEvent;
}

function selectorProblem({ scale, claimants }: AutoscalerView): SelectorProblem | undefined {
  const selector = scale.status?.selector ?? "";
  if (selector === "") {
    const condition = {
      status: "False",
      reason: "InvalidSelector",
      message: "the HPA target's scale is missing a selector",
    } as const;
    const message = "selector is required";
    return { condition, error: message, event: { type: "Warning", reason: "SelectorRequired", message } };
  }
  if (claimants.length < 2) return undefined;
  const message = `pods by selector ${selector} are controlled by multiple HPAs: [${claimants.join(" ")}]`;
  const reason = "AmbiguousSelector";
  return {
    condition: { status: "False", reason, message },
    error: message,
    event: { type: "Warning", reason, message },
  };
}

/** Nobody knows how many there should be: the target stays as it is. */
function withoutCount(
  { view, current, conditions, history }: Base,
  condition: Verdict,
  error: string,
  events: readonly PlannedEvent[],
  metrics?: readonly MetricStatus[],
): AutoscalerPlan {
  conditions.set("ScalingActive", condition);
  const { status } = view.autoscaler;
  const message = error;
  return {
    status: {
      ...statusOf(view.autoscaler, current, status?.desiredReplicas ?? 0),
      ...metricsOf(metrics ?? status?.currentMetrics),
      conditions: conditions.list(),
    },
    events: [...events, { type: "Warning", reason: "FailedComputeMetricsReplicas", message }],
    rescale: undefined,
    history,
  };
}

function planned(
  { view, current, conditions, history }: Base,
  replicas: number,
  metrics: readonly MetricStatus[],
  events: readonly PlannedEvent[],
): AutoscalerPlan {
  const status = {
    ...statusOf(view.autoscaler, current, replicas),
    ...metricsOf(metrics),
    conditions: conditions.list(),
  };
  return { status, events, rescale: undefined, history };
}

function statusOf({ metadata, status }: HorizontalPodAutoscaler, current: number, desired: number) {
  const { generation } = metadata;
  const { lastScaleTime } = status ?? {};
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    ...(lastScaleTime === undefined ? {} : { lastScaleTime }),
    currentReplicas: current,
    desiredReplicas: desired,
  };
}

function metricsOf(
  metrics: readonly MetricStatus[] | undefined,
): Pick<HorizontalPodAutoscalerStatus, "currentMetrics"> {
  return { currentMetrics: [...(metrics ?? [])] };
}

function statusesOf(plans: readonly MetricPlan[]): readonly MetricStatus[] {
  return plans.flatMap((one) => ("status" in one ? [one.status] : []));
}

function toleranceOf({ spec: { behavior } }: HorizontalPodAutoscaler): Tolerance {
  const read = (text: string | undefined): number =>
    text === undefined ? DEFAULT_TOLERANCE : Number(parseQuantity(text).nanos) / NANOS;
  return { up: read(behavior?.scaleUp?.tolerance), down: read(behavior?.scaleDown?.tolerance) };
}

interface Conditions {
  readonly set: (type: string, verdict: Verdict) => void;
  readonly list: () => HorizontalPodAutoscalerCondition[];
}

/** Each has the time at which its status changed. */
function conditionsOf({ status }: HorizontalPodAutoscaler, nowMs: number): Conditions {
  const byType = new Map((status?.conditions ?? []).map((one) => [one.type, one] as const));
  const original = new Map(byType);
  return {
    set(type, verdict) {
      const known = original.get(type);
      const isSame = known?.status === verdict.status && known.lastTransitionTime !== undefined;
      byType.set(type, {
        type,
        ...verdict,
        lastTransitionTime: isSame ? known.lastTransitionTime : timestampOf(nowMs),
      } as HorizontalPodAutoscalerCondition);
    },
    list: () => [...byType.values()],
  };
}
