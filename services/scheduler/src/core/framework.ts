/**
 * The contract between the scheduling cycle and its plugins: the extension points, what a plugin sees, and what its verdict
 * makes the scheduler do next. A plugin is one folder under plugins/ and one line in plugins/registry.ts.
 */
import type { Node, Pod, Taint } from "@pilothouse/api/types/core-v1";
import type { ClusterEvent } from "./events.ts";
import type { NodeSnapshot, Snapshot, Surroundings } from "./snapshot.ts";

/**
 * - `fits`: the node can run the pod.
 * - `unschedulable`: it cannot now; less load or fewer pods on it could change that (preemption may help).
 * - `unresolvable`: nothing that happens to other pods will change it.
 */
export type FilterVerdict =
  | { readonly verdict: "fits" }
  | { readonly verdict: "unschedulable" | "unresolvable"; readonly reasons: readonly string[] };

export type Refusal = Exclude<FilterVerdict, { verdict: "fits" }>;

export const FITS: FilterVerdict = { verdict: "fits" };

export function unschedulable(...reasons: string[]): Refusal {
  return { verdict: "unschedulable", reasons };
}

export function unresolvable(...reasons: string[]): Refusal {
  return { verdict: "unresolvable", reasons };
}

type EventOf<What extends ClusterEvent["what"]> = ClusterEvent & { readonly what: What };

/** Upstream's EventsToRegister and QueueingHints. By kind of event: whether this one may undo a rejection of the pod. What has no hint undoes nothing. */
export type Hints = {
  readonly [What in ClusterEvent["what"]]?: (pod: Pod, event: EventOf<What>, surroundings: Surroundings) => boolean;
};

export function mayUndo({ undoneBy }: Plugin, pod: Pod, event: ClusterEvent, surroundings: Surroundings): boolean {
  const hint = undoneBy[event.what] as ((pod: Pod, event: ClusterEvent, it: Surroundings) => boolean) | undefined;
  return hint?.(pod, event, surroundings) ?? false;
}

/** What stands against a node, for people: one line with its numbers, and what would take it away, where one deed would. */
export interface Obstacle {
  readonly detail: string;
  readonly remedy?: Remedy;
}

export type Remedy =
  | { readonly do: "uncordon" }
  | { readonly do: "remove taint"; readonly taint: Taint }
  /** Labels that the node would need. */
  | { readonly do: "label node"; readonly labels: Readonly<Record<string, string>> }
  /** At most `available` is free, in the units of `Resources`. */
  | { readonly do: "request less"; readonly resource: string; readonly available: number }
  /** What the pod says of itself keeps it away: this field of its spec. */
  | { readonly do: "change the pod"; readonly field: string }
  | { readonly do: "look at claim"; readonly claim: string };

/** What one cycle has worked out for one plugin: made by `prepare`, handed to `filter` and `score`. */
export interface Plugin<Prepared = unknown> {
  readonly name: string;
  /** Once per cycle, before any node is looked at. */
  readonly prepare: (pod: Pod, snapshot: Snapshot) => Prepared;
  /** What keeps the pod from all nodes, whatever they are like: then none is looked at, and it is told without a number of nodes. */
  readonly refuse?: (pod: Pod, prepared: Prepared) => string | undefined;
  readonly filter?: (pod: Pod, node: NodeSnapshot, prepared: Prepared) => FilterVerdict;
  /** Of a node that `filter` rejects: all that stands against it. Without it, the reasons are all there is to say. */
  readonly explain?: (pod: Pod, node: NodeSnapshot, prepared: Prepared) => readonly Obstacle[];
  /** 0 (worst) to 100 (best), of nodes that passed all filters; `normalize` may rescale them together. */
  readonly score?: (pod: Pod, node: NodeSnapshot, prepared: Prepared) => number;
  readonly normalize?: (scores: readonly number[]) => readonly number[];
  readonly weight?: number;
  /**
   * What may make this plugin's rejection of a pod obsolete. To be sound, a hint says true of every event after which the plugin
   * lets the pod on a node that it refused, or that is new; where it cannot tell, it says true.
   */
  readonly undoneBy: Hints;
}

export const MAX_NODE_SCORE = 100;

/** Rescales raw scores so that the largest becomes 100 (or, reversed, the smallest); all equal to 0 stays as it is. */
export function defaultNormalize(scores: readonly number[], reverse: boolean): readonly number[] {
  const largest = Math.max(0, ...scores);
  if (largest === 0) return scores.map(() => (reverse ? MAX_NODE_SCORE : 0));
  return scores.map((score) => {
    const scaled = Math.floor((score * MAX_NODE_SCORE) / largest);
    return reverse ? MAX_NODE_SCORE - scaled : scaled;
  });
}

/** A node's name, wherever its object came from. */
export function nodeName(node: Node): string {
  return node.metadata.name as string;
}
