/** Which pods nobody else would ever delete. Pure. */
import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import { hasPodEnded } from "../../core/pods.ts";

export type PodGcAction =
  /** Its node seems not to be there: to be asked for, and if so, deleted by force. */
  | { readonly do: "check node"; readonly pod: Pod; readonly nodeName: string }
  /** It was told to go from a node that is switched off, as its taint says: to be looked at again, and then deleted by force. */
  | { readonly do: "end for its node"; readonly pod: Pod; readonly nodeName: string }
  | { readonly do: "delete"; readonly pod: Pod };

export interface PodGcView {
  readonly pods: readonly Pod[];
  readonly nodes: readonly Node[];
  /** By node that is not shown: since when, in `nowMs`'s time. */
  readonly missingSinceMs: ReadonlyMap<string, number>;
  /** How many ended pods may stay; 0: all. */
  readonly terminatedThreshold: number;
}

/** A node that is not shown gets this long to appear. */
export const QUARANTINE_MS = 40_000;

export function plan(view: PodGcView, nowMs: number): readonly PodGcAction[] {
  const { pods, missingSinceMs, terminatedThreshold } = view;
  const orphans = pods.filter(({ spec }) => {
    const sinceMs = missingSinceMs.get(spec.nodeName ?? "");
    return sinceMs !== undefined && nowMs - sinceMs >= QUARANTINE_MS;
  });
  // Where nothing was ever started, nothing has to end.
  const unscheduled = pods.filter(({ metadata, spec }) => metadata.deletionTimestamp !== undefined && !spec.nodeName);
  const outOfService = new Set(view.nodes.filter(isOutOfService).map(({ metadata }) => metadata.name));
  const stranded = pods.filter(
    ({ metadata, spec }) => metadata.deletionTimestamp !== undefined && outOfService.has(spec.nodeName),
  );
  const gone = new Set<Pod>([...orphans, ...unscheduled, ...stranded]);
  const ended = pods.filter(
    (pod) => hasPodEnded(pod) && pod.metadata.deletionTimestamp === undefined && !gone.has(pod),
  );
  const tooMany = terminatedThreshold > 0 ? ended.length - terminatedThreshold : 0;
  const oldest = tooMany > 0 ? ended.sort(byEvictionAndAge).slice(0, tooMany) : [];
  return [
    ...orphans.map((pod) => ({ do: "check node", pod, nodeName: pod.spec.nodeName ?? "" }) as const),
    ...stranded.map((pod) => ({ do: "end for its node", pod, nodeName: pod.spec.nodeName ?? "" }) as const),
    ...[...unscheduled, ...oldest].map((pod) => ({ do: "delete", pod }) as const),
  ];
}

/** Whoever set this taint says that the machine is off: nothing of its pods runs on. It counts only while the node is not ready. */
export const OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";

export function isOutOfService({ spec, status }: Node): boolean {
  const isReady = status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") ?? false;
  return !isReady && (spec?.taints ?? []).some(({ key }) => key === OUT_OF_SERVICE);
}

/** Nodes that pods name and that are not shown, each since it was first missed. */
export function missingNodes(
  { pods, nodes, missingSinceMs }: Omit<PodGcView, "terminatedThreshold">,
  nowMs: number,
): Map<string, number> {
  const shown = new Set(nodes.map(({ metadata }) => metadata.name));
  const named = pods.map(({ spec }) => spec.nodeName ?? "").filter((name) => name !== "" && !shown.has(name));
  return new Map(named.map((name) => [name, missingSinceMs.get(name) ?? nowMs]));
}

/** Evicted ones first: they say least. */
function byEvictionAndAge(a: Pod, b: Pod): number {
  const evictedFirst = Number(isEvicted(b)) - Number(isEvicted(a));
  if (evictedFirst !== 0) return evictedFirst;
  return (Date.parse(a.metadata.creationTimestamp ?? "") || 0) - (Date.parse(b.metadata.creationTimestamp ?? "") || 0);
}

function isEvicted({ status }: Pod): boolean {
  return status?.phase === "Failed" && status.reason === "Evicted";
}
