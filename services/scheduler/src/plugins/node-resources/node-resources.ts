import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import {
  amountText,
  nodeAllocatable,
  podRequests,
  podRequestsNonZero,
  type Resources,
} from "@pilothouse/kinds/core/pod-resources";
import { FITS, MAX_NODE_SCORE, unresolvable, unschedulable, type Plugin } from "../../core/framework.ts";
import type { NodeSnapshot } from "../../core/snapshot.ts";

export const TOO_MANY_PODS_REASON = "Too many pods";

/** The pod's requests must fit into what is left of the node; scores by what would be left (LeastAllocated). */
export const nodeResourcesFit: Plugin<{ readonly exact: Resources; readonly nonZero: Resources }> = {
  name: "NodeResourcesFit",
  undoneBy: {
    "node added": (pod, { node }) => couldHold(node, pod),
    "node changed": (pod, { before, node }) =>
      couldHold(node, pod) && isMore(nodeAllocatable(node), nodeAllocatable(before), wantedBy(pod)),
    // Whatever it used else, it was one pod.
    "pod left": () => true,
    "pod changed": (pod, event) => isMore(podRequests(event.before), podRequests(event.pod), wantedBy(pod)),
  },
  prepare: (pod) => ({ exact: podRequests(pod), nonZero: podRequestsNonZero(pod) }),
  filter(_pod, node, { exact }) {
    const short = shortages(exact, node);
    const reasons = short.map(({ name }) => `Insufficient ${name}`);
    if (free(node.allocatable, node.requested, "pods") < 1) reasons.unshift(TOO_MANY_PODS_REASON);
    if (reasons.length === 0) return FITS;
    // More than the node has at all: no preemption will help.
    const hopeless = short.some(({ name, wanted }) => wanted > (node.allocatable.get(name) ?? 0));
    return hopeless ? unresolvable(...reasons) : unschedulable(...reasons);
  },
  explain(_pod, node, { exact }) {
    const full = free(node.allocatable, node.requested, "pods") < 1;
    const text = (name: string, amount: number): string => amountText(name, amount);
    const short = shortages(exact, node).map(({ name, wanted, left }) => ({
      detail: `Insufficient ${name}: needs ${text(name, wanted)}, ${text(name, left)} of ${text(name, node.allocatable.get(name) ?? 0)} free`,
      remedy: { do: "request less", resource: name, available: left } as const,
    }));
    const pods = node.allocatable.get("pods") ?? 0;
    return full ? [{ detail: `${TOO_MANY_PODS_REASON}: ${node.pods.length} run, ${pods} may` }, ...short] : short;
  },
  score(_pod, node, { nonZero }) {
    const fractions = ["cpu", "memory"].map((name) =>
      usedFraction(node.allocatable, node.requestedNonZero, nonZero, name),
    );
    return Math.floor(fractions.reduce((sum, used) => sum + (1 - used) * MAX_NODE_SCORE, 0) / fractions.length);
  },
};

/** Prefers nodes on which CPU and memory would be used in like measure. */
export const balancedAllocation: Plugin<Resources> = {
  name: "NodeResourcesBalancedAllocation",
  undoneBy: {},
  prepare: podRequests,
  score(_pod, node, requests) {
    const [cpu = 0, memory = 0] = ["cpu", "memory"].map((name) =>
      usedFraction(node.allocatable, node.requested, requests, name),
    );
    return Math.floor((1 - Math.abs(cpu - memory) / 2) * MAX_NODE_SCORE);
  },
};

interface Shortage {
  readonly name: string;
  readonly wanted: number;
  /** At least 0. */
  readonly left: number;
}

function shortages(exact: Resources, node: NodeSnapshot): readonly Shortage[] {
  return [...exact]
    .map(([name, wanted]) => ({ name, wanted, left: Math.max(0, free(node.allocatable, node.requested, name)) }))
    .filter(({ wanted, left }) => wanted > left);
}

/** Were it empty. */
function couldHold(node: Node, pod: Pod): boolean {
  const allocatable = nodeAllocatable(node);
  return [...podRequests(pod)].every(([name, wanted]) => wanted <= free(allocatable, NOTHING, name));
}

function wantedBy(pod: Pod): readonly string[] {
  const asked = [...podRequests(pod)].filter(([, amount]) => amount > 0);
  return ["pods", ...asked.map(([name]) => name)];
}

/** Whether `a` has more than `b` of one of these. */
function isMore(a: Resources, b: Resources, names: readonly string[]): boolean {
  return names.some((name) => free(a, NOTHING, name) > free(b, NOTHING, name));
}

const NOTHING: Resources = new Map();

function free(allocatable: Resources, requested: Resources, name: string): number {
  return (allocatable.get(name) ?? (name === "pods" ? Number.POSITIVE_INFINITY : 0)) - (requested.get(name) ?? 0);
}

function usedFraction(allocatable: Resources, requested: Resources, more: Resources, name: string): number {
  const capacity = allocatable.get(name) ?? 0;
  if (capacity === 0) return 1;
  return Math.min(1, ((requested.get(name) ?? 0) + (more.get(name) ?? 0)) / capacity);
}
