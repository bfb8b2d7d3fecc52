/** One scheduling cycle, pure: filter nodes, score those that fit, choose. Reads like the life of one pod. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { ClusterEvent } from "./events.ts";
import { mayUndo, unresolvable, type Plugin, type Refusal } from "./framework.ts";
import { nodeNamed, podKey, withNode, withPods, type NodeSnapshot, type Snapshot } from "./snapshot.ts";

export type Decision =
  | {
      readonly outcome: "scheduled";
      readonly node: NodeSnapshot;
      /** How many nodes were looked at. */
      readonly evaluated: number;
      readonly feasible: number;
    }
  | {
      readonly outcome: "unschedulable";
      /** As `kubectl describe pod` shows it: `0/3 nodes are available: …`; what preemption could do is added to it. */
      readonly message: string;
      /** Why each node was refused; empty where there is none. */
      readonly rejections: readonly Rejection[];
      /** Whether what happens now may make another try worth it. */
      readonly undoneBy: (event: ClusterEvent) => boolean;
    };

/**
 * `tieBreak` (in [0, 1)) chooses among the best, and says where in a large cluster the search begins; it comes from the pod's own
 * random stream. The search ends once there are enough nodes to choose from: a pod that fits anywhere is never refused.
 */
export function schedule(pod: Pod, snapshot: Snapshot, plugins: readonly Plugin[], tieBreak: number): Decision {
  if (snapshot.nodes.length === 0) {
    return {
      outcome: "unschedulable",
      message: "no nodes available to schedule pods",
      rejections: [],
      undoneBy: ({ what }) => what === "node added",
    };
  }
  const prepared = plugins.map((plugin) => plugin.prepare(pod, snapshot));
  const refused = refusedEverywhere(pod, snapshot, plugins, prepared);
  if (refused) return refused;
  const rejections: Rejection[] = [];
  const feasible: NodeSnapshot[] = [];
  for (const node of inTurn(pod, snapshot, tieBreak)) {
    if (feasible.length >= enoughOf(snapshot.nodes.length)) break;
    const rejection = filterNode(pod, node, plugins, prepared) ?? refusedForNominated(pod, node, snapshot, plugins);
    if (rejection) rejections.push(rejection);
    else feasible.push(node);
  }
  if (feasible.length === 0) return unschedulableDecision(pod, snapshot, rejections);
  const chosen =
    feasible.find(({ name }) => name === pod.status?.nominatedNodeName) ??
    oneOf(bestNodes(pod, feasible, plugins, prepared), tieBreak);
  const evaluated = feasible.length + rejections.length;
  return { outcome: "scheduled", node: chosen, evaluated, feasible: feasible.length };
}

const SMALL_CLUSTER = 100;

/** Upstream's percentageOfNodesToScore as it is by default: half of the nodes, the less the more there are, but 5 % and a hundred. */
export function enoughOf(nodeCount: number): number {
  if (nodeCount < SMALL_CLUSTER) return nodeCount;
  const percent = Math.max(5, 50 - Math.floor(nodeCount / 125));
  return Math.max(SMALL_CLUSTER, Math.floor((nodeCount * percent) / 100));
}

/** The node that was cleared for the pod first. Where not all are looked at, each pod begins somewhere else: all get their share. */
function inTurn(pod: Pod, snapshot: Snapshot, tieBreak: number): readonly NodeSnapshot[] {
  const { nodes } = snapshot;
  if (nodes.length < SMALL_CLUSTER) return nodes;
  const start = Math.floor(tieBreak * nodes.length);
  const turned = [...nodes.slice(start), ...nodes.slice(0, start)];
  const nominated = nodeNamed(snapshot, pod.status?.nominatedNodeName ?? "");
  return nominated ? [nominated, ...turned.filter((node) => node !== nominated)] : turned;
}

function oneOf(nodes: readonly NodeSnapshot[], chance: number): NodeSnapshot {
  return nodes[Math.floor(chance * nodes.length)] as NodeSnapshot;
}

/**
 * Whether the pod would fit on a node as it is given here, whatever the snapshot says of that node: the first rejection, or
 * undefined. Pods of at least its importance that wait for the node keep the room that they need.
 */
export function fits(
  pod: Pod,
  changed: NodeSnapshot,
  snapshot: Snapshot,
  plugins: readonly Plugin[],
): Rejection | undefined {
  const imagined = withNode(snapshot, changed);
  const prepared = plugins.map((plugin) => plugin.prepare(pod, imagined));
  return filterNode(pod, changed, plugins, prepared) ?? refusedForNominated(pod, changed, imagined, plugins);
}

/** Looks a second time, as if the pods that are nominated for the node, and are no less important, were on it already. */
export function refusedForNominated(
  pod: Pod,
  node: NodeSnapshot,
  snapshot: Snapshot,
  plugins: readonly Plugin[],
): Rejection | undefined {
  const waiting = goesBefore(pod, node, snapshot);
  if (waiting.length === 0) return undefined;
  const full = withPods(node, [...node.pods, ...waiting]);
  const imagined = withNode(snapshot, full);
  const prepared = plugins.map((plugin) => plugin.prepare(pod, imagined));
  return filterNode(pod, full, plugins, prepared);
}

/** Pods of at least its importance that wait for the node. */
export function goesBefore(pod: Pod, node: NodeSnapshot, { nominated }: Snapshot): readonly Pod[] {
  const priority = pod.spec.priority ?? 0;
  return (nominated.get(node.name) ?? []).filter(
    (other) => (other.spec.priority ?? 0) >= priority && podKey(other) !== podKey(pod),
  );
}

export interface Rejection {
  readonly node: NodeSnapshot;
  readonly plugin: Plugin;
  readonly verdict: Refusal;
}

function refusedEverywhere(
  pod: Pod,
  snapshot: Snapshot,
  plugins: readonly Plugin[],
  prepared: readonly unknown[],
): Decision | undefined {
  for (const [index, plugin] of plugins.entries()) {
    const reason = plugin.refuse?.(pod, prepared[index]);
    if (reason === undefined) continue;
    const verdict = unresolvable(reason);
    const rejections = snapshot.nodes.map((node) => ({ node, plugin, verdict }));
    return unschedulableDecision(pod, snapshot, rejections, reason);
  }
  return undefined;
}

/** The first plugin that rejects the node; later ones are not asked. */
function filterNode(
  pod: Pod,
  node: NodeSnapshot,
  plugins: readonly Plugin[],
  prepared: readonly unknown[],
): Rejection | undefined {
  for (const [index, plugin] of plugins.entries()) {
    const verdict = plugin.filter?.(pod, node, prepared[index]);
    if (verdict && verdict.verdict !== "fits") return { node, plugin, verdict };
  }
  return undefined;
}

/** The nodes that share the highest weighted sum of scores. */
function bestNodes(
  pod: Pod,
  nodes: readonly NodeSnapshot[],
  plugins: readonly Plugin[],
  prepared: readonly unknown[],
): readonly NodeSnapshot[] {
  const totals = nodes.map(() => 0);
  for (const [index, plugin] of plugins.entries()) {
    const { score } = plugin;
    if (!score || nodes.length === 1) continue;
    const raw = nodes.map((node) => score(pod, node, prepared[index]));
    const scores = plugin.normalize?.(raw) ?? raw;
    for (const [at, value] of scores.entries()) totals[at] = (totals[at] as number) + value * (plugin.weight ?? 1);
  }
  const highest = Math.max(...totals);
  return nodes.filter((_, at) => totals[at] === highest);
}

/** Upstream's FitError: reasons with how many nodes gave each, sorted as text; or the one reason that has nothing to do with nodes. */
function unschedulableDecision(
  pod: Pod,
  snapshot: Snapshot,
  rejections: readonly Rejection[],
  forAll?: string,
): Decision {
  const counts = new Map<string, number>();
  for (const { verdict } of rejections) {
    for (const reason of verdict.reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const reasons = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  // Held by the pod for as long as it waits: not the whole snapshot.
  const refusers = [...new Set(rejections.map(({ plugin }) => plugin))];
  const { namespaceLabels, storage } = snapshot;
  return {
    outcome: "unschedulable",
    message: `0/${snapshot.nodes.length} nodes are available: ${forAll ?? reasons.join(", ")}.`,
    rejections,
    undoneBy: (event) => refusers.some((plugin) => mayUndo(plugin, pod, event, { namespaceLabels, storage })),
  };
}
