import type { Node, Pod, TopologySpreadConstraint } from "@pilothouse/api/types/core-v1";
import { tolerates } from "@pilothouse/kinds/core/tolerations";
import { labelOf, labelSelectorOf, matchesLabels, type LabelSelector } from "@pilothouse/selectors";
import { FITS, MAX_NODE_SCORE, unresolvable, unschedulable, type Plugin } from "../../core/framework.ts";
import { matchesRequiredAffinity } from "@pilothouse/kinds/core/node-selector";
import type { NodeSnapshot, Snapshot } from "../../core/snapshot.ts";

export const SKEW_REASON = "node(s) didn't match pod topology spread constraints";
export const MISSING_LABEL_REASON = "node(s) didn't match pod topology spread constraints (missing required label)";

/** One constraint with how many matching pods each domain has. */
interface Counted {
  readonly constraint: TopologySpreadConstraint;
  readonly byDomain: ReadonlyMap<string, number>;
  /** The smallest count; 0 when there are fewer domains than `minDomains`. */
  readonly smallest: number;
  /** 1 when the pod itself matches the constraint's selector. */
  readonly own: 0 | 1;
}

/** The score of a node that lacks a label by which the pod wants to be spread, before normalizing. */
const UNFIT = -1;

interface Prepared {
  readonly hard: readonly Counted[];
  readonly soft: readonly Counted[];
  /** Of what the pod states softly: a node that lacks one of these labels is the last to be preferred. */
  readonly softKeys: readonly string[];
}

/** What upstream assumes for a pod that states nothing: spread over hosts and zones, softly. */
const SYSTEM_DEFAULTS: readonly TopologySpreadConstraint[] = [
  { maxSkew: 3, topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "ScheduleAnyway" },
  { maxSkew: 5, topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "ScheduleAnyway" },
];

/** Keeps the pods of one set evenly over domains: DoNotSchedule filters, ScheduleAnyway scores. */
export const podTopologySpread: Plugin<Prepared> = {
  name: "PodTopologySpread",
  weight: 2,
  undoneBy: {
    "node added": (pod, { node }) => hardOf(pod).some((one) => countsAs(node, one, pod) !== undefined),
    "node removed": (pod, { node }) => hardOf(pod).some((one) => countsAs(node, one, pod) !== undefined),
    "node changed": (pod, { before, node }) =>
      hardOf(pod).some(
        (one) =>
          countsAs(before, one, pod) !== countsAs(node, one, pod) ||
          labelOf(before.metadata.labels, one.topologyKey) !== labelOf(node.metadata.labels, one.topologyKey),
      ),
    "pod placed": (pod, event) => hardOf(pod).some((one) => isAlike(event.pod, pod, selectorOf(one, pod))),
    "pod changed": (pod, event) =>
      hardOf(pod).some((one) => {
        const selector = selectorOf(one, pod);
        return isAlike(event.before, pod, selector) !== isAlike(event.pod, pod, selector);
      }),
    "pod left": (pod, event) => hardOf(pod).some((one) => isAlike(event.pod, pod, selectorOf(one, pod))),
  },
  prepare(pod, snapshot) {
    const stated = pod.spec.topologySpreadConstraints ?? [];
    const soft = stated.filter(({ whenUnsatisfiable }) => whenUnsatisfiable === "ScheduleAnyway");
    const softKeys = keysOf(soft);
    // Nodes without a zone are spread over all the same, where nobody asked for zones.
    const defaults = stated.length === 0 ? defaultConstraints(pod) : [];
    return {
      hard: hardOf(pod).map((one) => count(one, pod, snapshot, keysOf(hardOf(pod)))),
      soft: [
        ...soft.map((one) => count(one, pod, snapshot, softKeys)),
        ...defaults.map((one) => count(one, pod, snapshot, [])),
      ],
      softKeys,
    };
  },
  filter(_pod, node, { hard }) {
    for (const { constraint, byDomain, smallest, own } of hard) {
      const domain = domainOf(node, constraint);
      if (domain === undefined) return unresolvable(MISSING_LABEL_REASON);
      if ((byDomain.get(domain) ?? 0) + own - smallest > constraint.maxSkew) return unschedulable(SKEW_REASON);
    }
    return FITS;
  },
  explain: (_pod, node, { hard }) =>
    hard.flatMap(({ constraint, byDomain, smallest, own }) => {
      const { topologyKey, maxSkew } = constraint;
      const domain = domainOf(node, constraint);
      const remedy = { do: "change the pod", field: "topologySpreadConstraints" } as const;
      if (domain === undefined) return [{ detail: `the node has no label ${topologyKey}`, remedy }];
      const there = byDomain.get(domain) ?? 0;
      if (there + own - smallest <= maxSkew) return [];
      const numbers = `${topologyKey}=${domain} has ${there} of its like, the least is ${smallest}, maxSkew is ${maxSkew}`;
      return [{ detail: numbers, remedy }];
    }),
  /** The number of matching pods beside which it would land; fewer is better. A larger maxSkew waters differences down. */
  score(_pod, node, { soft, softKeys }) {
    if (!hasAll(node.node, softKeys)) return UNFIT;
    const score = soft.reduce((sum, { constraint, byDomain }) => {
      const domain = domainOf(node, constraint);
      if (domain === undefined) return sum;
      return sum + (byDomain.get(domain) ?? 0) * Math.log(byDomain.size + 2) + constraint.maxSkew - 1;
    }, 0);
    return Math.round(score);
  },
  normalize(scores) {
    const fit = scores.filter((score) => score !== UNFIT);
    const [least, most] = [Math.min(...fit), Math.max(0, ...fit)];
    return scores.map((score) => {
      if (score === UNFIT) return 0;
      return most === 0 ? MAX_NODE_SCORE : Math.floor((MAX_NODE_SCORE * (most + least - score)) / most);
    });
  },
};

function hardOf({ spec }: Pod): readonly TopologySpreadConstraint[] {
  return (spec.topologySpreadConstraints ?? []).filter(
    ({ whenUnsatisfiable }) => whenUnsatisfiable !== "ScheduleAnyway",
  );
}

/** For pods of a controller only: they are told from others by the labels their owner gave them. */
function defaultConstraints(pod: Pod): readonly TopologySpreadConstraint[] {
  const hash = pod.metadata.labels?.["pod-template-hash"];
  const owned = pod.metadata.ownerReferences?.some(({ controller }) => controller) ?? false;
  if (!owned) return [];
  const matchLabels = hash === undefined ? pod.metadata.labels : { ...pod.metadata.labels, "pod-template-hash": hash };
  return SYSTEM_DEFAULTS.map((one) => ({ ...one, labelSelector: { matchLabels: matchLabels ?? {} } }));
}

function keysOf(constraints: readonly TopologySpreadConstraint[]): readonly string[] {
  return constraints.map(({ topologyKey }) => topologyKey);
}

function hasAll({ metadata: { labels = {} } }: Node, keys: readonly string[]): boolean {
  return keys.every((key) => labelOf(labels, key) !== undefined);
}

/** @param keys labels that a node must have for its pods to count: those of all constraints that are stated together */
function count(constraint: TopologySpreadConstraint, pod: Pod, snapshot: Snapshot, keys: readonly string[]): Counted {
  const selector = selectorOf(constraint, pod);
  const byDomain = new Map<string, number>();
  for (const node of snapshot.nodes) {
    const domain = domainOf(node, constraint);
    if (domain === undefined || !hasAll(node.node, keys) || !isCounted(node.node, constraint, pod)) continue;
    const matching = node.pods.filter((other) => isAlike(other, pod, selector)).length;
    byDomain.set(domain, (byDomain.get(domain) ?? 0) + matching);
  }
  const tooFewDomains = byDomain.size < (constraint.minDomains ?? 1);
  const smallest = tooFewDomains || byDomain.size === 0 ? 0 : Math.min(...byDomain.values());
  return { constraint, byDomain, smallest, own: matchesLabels(selector, pod.metadata.labels) ? 1 : 0 };
}

/** The constraint's selector, narrowed by the pod's own values of `matchLabelKeys`. */
function selectorOf(constraint: TopologySpreadConstraint, pod: Pod): LabelSelector {
  const own = Object.fromEntries(
    (constraint.matchLabelKeys ?? []).flatMap((key) => {
      const value = labelOf(pod.metadata.labels, key);
      return value === undefined ? [] : [[key, value]];
    }),
  );
  const stated = constraint.labelSelector;
  return labelSelectorOf(stated && { ...stated, matchLabels: { ...stated.matchLabels, ...own } });
}

/** Nodes the pod could never land on do not count, unless the constraint says so. */
function isCounted(node: Node, constraint: TopologySpreadConstraint, pod: Pod): boolean {
  if ((constraint.nodeAffinityPolicy ?? "Honor") === "Honor" && !matchesRequiredAffinity(pod, node)) return false;
  if (constraint.nodeTaintsPolicy !== "Honor") return true;
  const hard = (node.spec.taints ?? []).filter(({ effect }) => effect !== "PreferNoSchedule");
  return hard.every((taint) => tolerates(pod.spec.tolerations, taint));
}

function isAlike(other: Pod, pod: Pod, selector: LabelSelector): boolean {
  if (other.metadata.namespace !== pod.metadata.namespace || other.metadata.deletionTimestamp) return false;
  return matchesLabels(selector, other.metadata.labels);
}

/** The domain whose pods the node's are, for this hard constraint; undefined where they do not count. */
function countsAs(node: Node, constraint: TopologySpreadConstraint, pod: Pod): string | undefined {
  const isMeant = hasAll(node, keysOf(hardOf(pod))) && isCounted(node, constraint, pod);
  return isMeant ? labelOf(node.metadata.labels, constraint.topologyKey) : undefined;
}

function domainOf(node: NodeSnapshot, constraint: TopologySpreadConstraint): string | undefined {
  return labelOf(node.node.metadata.labels, constraint.topologyKey);
}
