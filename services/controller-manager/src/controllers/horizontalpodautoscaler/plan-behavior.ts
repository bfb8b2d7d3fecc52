/** How far and how fast: bounds, policies and stabilization between what metrics ask for and what is done. Upstream's rules; pure. */
import type {
  HPAScalingPolicy,
  HPAScalingRules,
  HorizontalPodAutoscalerBehavior,
} from "@pilothouse/api/types/autoscaling-v2";

/** What `behavior` leaves out, and what counts where there is none. */
export const DOWNSCALE_STABILIZATION_MS = 5 * 60_000;
/** Without `behavior` replicas at most double, or become four. */
const SCALE_UP_FACTOR = 2;
const SCALE_UP_LEAST = 4;

export interface Recommendation {
  readonly replicas: number;
  readonly atMs: number;
}

/** How many replicas came or went. */
export interface ScaleEvent {
  readonly change: number;
  readonly atMs: number;
}

/** What the controller remembers of an autoscaler. It is lost with the leader: the next one waits rather too long than too short. */
export interface History {
  readonly recommendations: readonly Recommendation[];
  readonly ups: readonly ScaleEvent[];
  readonly downs: readonly ScaleEvent[];
}

export const NO_HISTORY: History = { recommendations: [], ups: [], downs: [] };

export interface Wanted {
  readonly current: number;
  /** As metrics ask. */
  readonly desired: number;
  readonly least: number;
  readonly most: number;
  readonly behavior: HorizontalPodAutoscalerBehavior | undefined;
}

export interface Verdict {
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

export interface Bounded {
  readonly replicas: number;
  readonly ableToScale: Verdict;
  readonly scalingLimited: Verdict;
  readonly recommendations: readonly Recommendation[];
}

const STABILIZED = {
  up: [
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
  ],
  down: [
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
  ],
} as const;
const LIMITS = {
  ScaleUpLimit: "the desired replica count is increasing faster than the maximum scale rate",
  ScaleDownLimit: "the desired replica count is decreasing faster than the maximum scale rate",
  TooManyReplicas: "the desired replica count is more than the maximum replica count",
  TooFewReplicas: "the desired replica count is less than the minimum replica count",
} as const;

export function bounded(wanted: Wanted, history: History, nowMs: number): Bounded {
  const { current, desired, behavior } = wanted;
  const windows = windowsOf(behavior);
  const stable = stabilized(wanted, windows, history.recommendations, nowMs);
  const [reason, message] = behavior && desired >= current ? STABILIZED.up : STABILIZED.down;
  const { replicas, limit } = behavior
    ? byPolicies({ ...wanted, desired: stable }, behavior, history, nowMs)
    : byRules({ ...wanted, desired: stable });
  return {
    replicas,
    ableToScale:
      stable === desired
        ? { status: "True", reason: "ReadyForNewScale", message: "recommended size matches current size" }
        : { status: "True", reason, message },
    scalingLimited: limit
      ? { status: "True", reason: limit, message: LIMITS[limit] }
      : { status: "False", reason: "DesiredWithinRange", message: "the desired count is within the acceptable range" },
    recommendations: remembered(history.recommendations, Math.max(windows.upMs, windows.downMs), {
      replicas: desired,
      atMs: nowMs,
    }),
  };
}

/** The events that some policy may still ask for, and this one. */
export function withScaleEvent(
  history: History,
  behavior: HorizontalPodAutoscalerBehavior | undefined,
  from: number,
  to: number,
  nowMs: number,
): History {
  if (!behavior) return history;
  const longest = (rules: HPAScalingRules | undefined): number =>
    Math.max(0, ...(rules?.policies ?? []).map(({ periodSeconds }) => periodSeconds)) * 1_000;
  const keptMs = Math.max(longest(behavior.scaleUp), longest(behavior.scaleDown));
  const recent = (events: readonly ScaleEvent[]): readonly ScaleEvent[] =>
    events.filter(({ atMs }) => atMs >= nowMs - keptMs);
  const event = { change: Math.abs(to - from), atMs: nowMs };
  return to > from
    ? { ...history, ups: [...recent(history.ups), event], downs: recent(history.downs) }
    : { ...history, ups: recent(history.ups), downs: [...recent(history.downs), event] };
}

interface Windows {
  readonly upMs: number;
  readonly downMs: number;
}

function windowsOf(behavior: HorizontalPodAutoscalerBehavior | undefined): Windows {
  const downSeconds = behavior?.scaleDown?.stabilizationWindowSeconds;
  return {
    upMs: (behavior?.scaleUp?.stabilizationWindowSeconds ?? 0) * 1_000,
    downMs: downSeconds === undefined ? DOWNSCALE_STABILIZATION_MS : downSeconds * 1_000,
  };
}

/** Not above what was asked for all through the one window, nor below what was asked for at any time of the other. */
function stabilized(
  { current, desired, behavior }: Wanted,
  { upMs, downMs }: Windows,
  recommendations: readonly Recommendation[],
  nowMs: number,
): number {
  const within = (windowMs: number): readonly number[] =>
    recommendations.filter(({ atMs }) => atMs > nowMs - windowMs).map(({ replicas }) => replicas);
  const highest = Math.max(desired, ...within(downMs));
  if (!behavior) return highest;
  const lowest = Math.min(desired, ...within(upMs));
  return Math.min(Math.max(current, lowest), highest);
}

function remembered(
  recommendations: readonly Recommendation[],
  windowMs: number,
  latest: Recommendation,
): readonly Recommendation[] {
  return [...recommendations.filter(({ atMs }) => atMs > latest.atMs - windowMs), latest];
}

interface Limited {
  readonly replicas: number;
  readonly limit: keyof typeof LIMITS | undefined;
}

function byRules({ current, desired, least, most }: Wanted): Limited {
  const fastest = Math.max(SCALE_UP_FACTOR * current, SCALE_UP_LEAST);
  if (desired < least) return { replicas: least, limit: "TooFewReplicas" };
  if (desired <= Math.min(most, fastest)) return { replicas: desired, limit: undefined };
  return most > fastest ? { replicas: fastest, limit: "ScaleUpLimit" } : { replicas: most, limit: "TooManyReplicas" };
}

function byPolicies(
  { current, desired, least, most }: Wanted,
  { scaleUp, scaleDown }: HorizontalPodAutoscalerBehavior,
  { ups, downs }: History,
  nowMs: number,
): Limited {
  const atStart = ({ periodSeconds }: HPAScalingPolicy): number =>
    current - changeSince(ups, nowMs - periodSeconds * 1_000) + changeSince(downs, nowMs - periodSeconds * 1_000);
  if (desired > current) {
    const fastest = Math.max(current, upLimit(current, scaleUp, atStart));
    if (desired <= Math.min(most, fastest)) return { replicas: desired, limit: undefined };
    return most > fastest ? { replicas: fastest, limit: "ScaleUpLimit" } : { replicas: most, limit: "TooManyReplicas" };
  }
  if (desired < current) {
    const fastest = Math.min(current, downLimit(current, scaleDown, atStart));
    if (desired >= Math.max(least, fastest)) return { replicas: desired, limit: undefined };
    return least < fastest
      ? { replicas: fastest, limit: "ScaleDownLimit" }
      : { replicas: least, limit: "TooFewReplicas" };
  }
  return { replicas: desired, limit: undefined };
}

function changeSince(events: readonly ScaleEvent[], sinceMs: number): number {
  return events.reduce((sum, { change, atMs }) => (atMs > sinceMs ? sum + change : sum), 0);
}

function upLimit(
  current: number,
  { selectPolicy = "Max", policies = [] }: HPAScalingRules = {},
  atStart: (policy: HPAScalingPolicy) => number,
): number {
  if (selectPolicy === "Disabled") return current;
  // Rounded up: a share of few pods would never let one more come.
  const limits = policies.map((policy) =>
    policy.type === "Pods" ? atStart(policy) + policy.value : Math.ceil((atStart(policy) * (100 + policy.value)) / 100),
  );
  return selectPolicy === "Min" ? Math.min(...limits) : Math.max(...limits);
}

function downLimit(
  current: number,
  { selectPolicy = "Max", policies = [] }: HPAScalingRules = {},
  atStart: (policy: HPAScalingPolicy) => number,
): number {
  if (selectPolicy === "Disabled") return current;
  const limits = policies.map((policy) =>
    policy.type === "Pods"
      ? atStart(policy) - policy.value
      : Math.trunc((atStart(policy) * (100 - policy.value)) / 100),
  );
  // The largest change is the lowest number here.
  return selectPolicy === "Min" ? Math.max(...limits) : Math.min(...limits);
}
