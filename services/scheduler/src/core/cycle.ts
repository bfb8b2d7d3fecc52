/** One scheduling cycle, pure: filter all nodes, score those that fit, choose. Reads like the life of one pod. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { ClusterEvent, FilterVerdict, Plugin } from "./framework.ts";
import type { NodeSnapshot, Snapshot } from "./snapshot.ts";

export type Decision =
  | { readonly outcome: "scheduled"; readonly nodeName: string; readonly evaluated: number; readonly feasible: number }
  | {
      readonly outcome: "unschedulable";
      /** As `kubectl describe pod` shows it: `0/3 nodes are available: …`. */
      readonly message: string;
      /** Changes that may make another try worth it. */
      readonly undoneBy: ReadonlySet<ClusterEvent>;
    };

/** `tieBreak` (in [0, 1)) chooses among the best; it comes from the pod's own random stream. */
export function schedule(pod: Pod, snapshot: Snapshot, plugins: readonly Plugin[], tieBreak: number): Decision {
  if (snapshot.nodes.length === 0) {
    return {
      outcome: "unschedulable",
      message: "no nodes available to schedule pods",
      undoneBy: new Set(["NodeAdded"]),
    };
  }
  const prepared = plugins.map((plugin) => plugin.prepare(pod, snapshot));
  const rejections: Rejection[] = [];
  const feasible: NodeSnapshot[] = [];
  for (const node of snapshot.nodes) {
    const rejection = filterNode(pod, node, plugins, prepared);
    if (rejection) rejections.push(rejection);
    else feasible.push(node);
  }
  if (feasible.length === 0) return unschedulableDecision(snapshot.nodes.length, rejections);
  const best = bestNodes(pod, feasible, plugins, prepared);
  const chosen = best[Math.floor(tieBreak * best.length)] as NodeSnapshot;
  return { outcome: "scheduled", nodeName: chosen.name, evaluated: snapshot.nodes.length, feasible: feasible.length };
}

interface Rejection {
  readonly plugin: Plugin;
  readonly verdict: Exclude<FilterVerdict, { verdict: "fits" }>;
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
    if (verdict && verdict.verdict !== "fits") return { plugin, verdict };
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

/** Upstream's FitError: reasons with how many nodes gave each, sorted as text, and what preemption could do. */
function unschedulableDecision(nodeCount: number, rejections: readonly Rejection[]): Decision {
  const counts = new Map<string, number>();
  for (const { verdict } of rejections) {
    for (const reason of verdict.reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const reasons = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  const helpless = rejections.filter(({ verdict }) => verdict.verdict === "unresolvable").length;
  const preemption = [
    ...(helpless > 0 ? [`${helpless} Preemption is not helpful for scheduling`] : []),
    ...(nodeCount > helpless ? [`${nodeCount - helpless} No preemption victims found for incoming pod`] : []),
  ].sort();
  const available = `0/${nodeCount} nodes are available`;
  return {
    outcome: "unschedulable",
    message: `${available}: ${reasons.join(", ")}. preemption: ${available}: ${preemption.join(", ")}.`,
    undoneBy: new Set(rejections.flatMap(({ plugin }) => plugin.undoneBy)),
  };
}
