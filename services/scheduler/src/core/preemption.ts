/**
 * Preemption, pure: whether pods of lower priority may go so that this one fits, which, and from which node (upstream's
 * DefaultPreemption). Nothing is done here; a decision names victims, and the flow evicts them.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { PodDisruptionBudget } from "@pilothouse/api/types/policy-v1";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";
import type { Plugin } from "./framework.ts";
import { fits, type Rejection } from "./cycle.ts";
import { nodeNamed, podKey, withPods, type NodeSnapshot, type Snapshot } from "./snapshot.ts";

/** A PodDisruptionBudget, as far as preemption asks: budgets are kept where that is possible, no more. */
export interface Budget {
  readonly namespace: string;
  readonly matches: (labels: Readonly<Record<string, string>>) => boolean;
  /** `status.disruptionsAllowed` */
  readonly allowed: number;
  /** Names of pods whose disruption the budget has already counted. */
  readonly disrupted: ReadonlySet<string>;
}

export function budgetOf({ metadata, spec, status }: PodDisruptionBudget): Budget {
  const selector = labelSelectorOf(spec?.selector);
  return {
    namespace: metadata.namespace ?? "",
    matches: (labels) => matchesLabels(selector, labels),
    allowed: status?.disruptionsAllowed ?? 0,
    disrupted: new Set(Object.keys(status?.disruptedPods ?? {})),
  };
}

export type Preemption =
  | { readonly outcome: "victims"; readonly nodeName: string; readonly victims: readonly Pod[] }
  /** `message` is what follows `preemption: ` in the pod's FailedScheduling event. */
  | { readonly outcome: "none"; readonly message: string };

interface Candidate {
  readonly nodeName: string;
  /** The most important first. */
  readonly victims: readonly Pod[];
  /** How many victims some budget would not allow. */
  readonly violations: number;
}

/** At most as many nodes are tried as upstream tries: a tenth of the cluster, and a hundred at least. */
const CANDIDATES_AT_LEAST = 100;
const CANDIDATES_FRACTION = 0.1;

/** `rejections`: why each node was refused, in the snapshot's order. */
export function preempt(
  pod: Pod,
  snapshot: Snapshot,
  plugins: readonly Plugin[],
  rejections: readonly Rejection[],
  budgets: readonly Budget[],
): Preemption {
  const refusal = whyNotEligible(pod, snapshot);
  if (refusal !== undefined) return { outcome: "none", message: refusal };
  const wanted = Math.max(CANDIDATES_AT_LEAST, Math.floor(snapshot.nodes.length * CANDIDATES_FRACTION));
  const candidates: Candidate[] = [];
  const reasons = new Map<string, number>();
  for (const { node, verdict } of rejections) {
    if (candidates.length >= wanted) break;
    const found =
      verdict.verdict === "unresolvable"
        ? ["Preemption is not helpful for scheduling"]
        : victimsOn(node, pod, snapshot, plugins, budgets);
    if ("victims" in found) candidates.push(found);
    else for (const reason of found) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  const best = bestOf(candidates);
  if (best) return { outcome: "victims", nodeName: best.nodeName, victims: best.victims };
  const told = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  return { outcome: "none", message: `0/${snapshot.nodes.length} nodes are available: ${told.join(", ")}.` };
}

/** A pod may say that it never preempts; and one whose victims are still leaving waits for them. */
function whyNotEligible(pod: Pod, snapshot: Snapshot): string | undefined {
  if (pod.spec.preemptionPolicy === "Never") return "not eligible due to preemptionPolicy=Never.";
  const nominated = pod.status?.nominatedNodeName;
  const node = nominated ? nodeNamed(snapshot, nominated) : undefined;
  const isLeaving = node?.pods.some(
    (other) => priorityOf(other) < priorityOf(pod) && other.metadata.deletionTimestamp !== undefined,
  );
  return isLeaving ? "not eligible due to a terminating pod on the nominated node." : undefined;
}

/**
 * The pods that would have to go: all that are less important first, then as many of them as fit are spared, those of a
 * budget that is spent before others, the more important before the less. Or the reasons why none of that helps.
 */
function victimsOn(
  node: NodeSnapshot,
  pod: Pod,
  snapshot: Snapshot,
  plugins: readonly Plugin[],
  budgets: readonly Budget[],
): Candidate | readonly string[] {
  const lesser = node.pods.filter((other) => priorityOf(other) < priorityOf(pod)).sort(byImportance);
  if (lesser.length === 0) return ["No preemption victims found for incoming pod"];
  const staying = node.pods.filter((other) => priorityOf(other) >= priorityOf(pod));
  const refusal = fits(pod, withPods(node, staying), snapshot, plugins);
  if (refusal) return refusal.verdict.reasons;
  const { violating, others } = splitByBudget(lesser, budgets);
  const spared = [...staying];
  const gone = new Set<Pod>();
  let violations = 0;
  for (const [candidates, isViolation] of [
    [violating, true],
    [others, false],
  ] as const) {
    for (const candidate of candidates) {
      if (!fits(pod, withPods(node, [...spared, candidate]), snapshot, plugins)) spared.push(candidate);
      else {
        gone.add(candidate);
        if (isViolation) violations++;
      }
    }
  }
  return { nodeName: node.name, victims: lesser.filter((one) => gone.has(one)), violations };
}

/** Which of these pods, in this order, would be one too many for some budget. */
function splitByBudget(
  pods: readonly Pod[],
  budgets: readonly Budget[],
): { readonly violating: readonly Pod[]; readonly others: readonly Pod[] } {
  const left = budgets.map(({ allowed }) => allowed);
  const violating = pods.filter(({ metadata }) => {
    let isViolation = false;
    for (const [index, { namespace, matches, disrupted }] of budgets.entries()) {
      const { labels = {}, name = "" } = metadata;
      if (namespace !== metadata.namespace || Object.keys(labels).length === 0 || !matches(labels)) continue;
      if (disrupted.has(name)) continue;
      left[index] = (left[index] as number) - 1;
      if (left[index] < 0) isViolation = true;
    }
    return isViolation;
  });
  return { violating, others: pods.filter((one) => !violating.includes(one)) };
}

/** What upstream compares one after the other, until one node is left; smaller is better. */
const PREFERENCES: readonly ((candidate: Candidate) => number)[] = [
  ({ violations }) => violations,
  ({ victims }) => Math.max(...victims.map(priorityOf)),
  ({ victims }) => victims.reduce((sum, victim) => sum + priorityOf(victim), 0),
  ({ victims }) => victims.length,
  // The node whose most important victims started last.
  ({ victims }) => {
    const highest = Math.max(...victims.map(priorityOf));
    return -Math.min(...victims.filter((victim) => priorityOf(victim) === highest).map(startedMs));
  },
];

function bestOf(candidates: readonly Candidate[]): Candidate | undefined {
  let left = candidates;
  for (const preference of PREFERENCES) {
    const least = Math.min(...left.map(preference));
    left = left.filter((candidate) => preference(candidate) === least);
  }
  return left[0];
}

/** The more important first: higher priority, then longer running, then by name so that two runs agree. */
function byImportance(a: Pod, b: Pod): number {
  return priorityOf(b) - priorityOf(a) || startedMs(a) - startedMs(b) || (podKey(a) < podKey(b) ? -1 : 1);
}

export function priorityOf({ spec }: Pod): number {
  return spec.priority ?? 0;
}

/** A pod that has not started counts as started now: later than all others. */
function startedMs({ status }: Pod): number {
  return status?.startTime === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(status.startTime);
}
