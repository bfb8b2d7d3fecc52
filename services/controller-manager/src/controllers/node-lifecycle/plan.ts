/** What a node's silence and conditions mean for the node and its pods. Pure. */
import type { Node, NodeCondition, Pod, Taint } from "@pilothouse/api/types/core-v1";
import { toleratesTaint } from "@pilothouse/kinds/core/tolerations";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { isPodReady } from "../../core/pods.ts";
import { timestampOf } from "../../core/values.ts";
import { readyStatus, taintsAfter } from "./rules.ts";

/** Upstream's --node-monitor-grace-period, five of a kubelet's leases; nodes that have just come get longer. */
export const GRACE_MS = 50_000;
export const STARTUP_GRACE_MS = 60_000;

const JUDGED = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

export type NodeAction =
  | { readonly do: "set conditions"; readonly conditions: readonly NodeCondition[] }
  | { readonly do: "set taints"; readonly taints: readonly Taint[] }
  /** Nobody can say how they are. */
  | { readonly do: "mark not ready"; readonly pod: Pod }
  | { readonly do: "evict"; readonly pod: Pod };

export interface NodeView {
  readonly node: Node;
  readonly pods: readonly Pod[];
  /** Since the last sign of life. */
  readonly silentMs: number;
  /** Whether its pods may be told to go. */
  readonly mayEvict: boolean;
}

/** One step at a time: conditions, then the taints that follow from them, then the pods. */
export function plan(view: NodeView, nowMs: number): readonly NodeAction[] {
  const { node, pods, mayEvict } = view;
  const conditions = conditionsAfter(view, nowMs);
  if (!sameValue(conditions, node.status?.conditions ?? [])) return [{ do: "set conditions", conditions }];
  const taints = taintsAfter(node, mayEvict, nowMs);
  if (!sameValue(taints, node.spec?.taints ?? [])) return [{ do: "set taints", taints }];
  const unheard = readyStatus(node) === "Unknown" ? pods.filter(isPodReady) : [];
  const due = pods.filter((pod) => (evictionAtMs(pod, taints, nowMs) ?? Number.POSITIVE_INFINITY) <= nowMs);
  return [
    ...unheard.map((pod) => ({ do: "mark not ready", pod }) as const),
    ...due.map((pod) => ({ do: "evict", pod }) as const),
  ];
}

export function graceMs({ status }: Node): number {
  return (status?.conditions ?? []).some(({ type }) => type === "Ready") ? GRACE_MS : STARTUP_GRACE_MS;
}

/**
 * When the pod has to go; undefined when it may stay. Its time begins with the taint, or with the pod if that came later.
 */
export function evictionAtMs({ metadata, spec }: Pod, taints: readonly Taint[], nowMs: number): number | undefined {
  if (metadata.deletionTimestamp !== undefined) return undefined;
  const ends = taints
    .filter(({ effect }) => effect === "NoExecute")
    .map((taint) => {
      const toleration = (spec.tolerations ?? []).find((one) => toleratesTaint(one, taint));
      if (!toleration) return nowMs;
      if (toleration.tolerationSeconds === undefined) return Number.POSITIVE_INFINITY;
      const sinceMs = Math.max(
        Date.parse(taint.timeAdded ?? "") || nowMs,
        Date.parse(metadata.creationTimestamp ?? "") || 0,
      );
      return sinceMs + Math.max(0, toleration.tolerationSeconds) * 1_000;
    });
  const first = Math.min(...ends, Number.POSITIVE_INFINITY);
  return first === Number.POSITIVE_INFINITY ? undefined : first;
}

/** Upstream's words; a node that never said anything is told apart from one that stopped. */
function conditionsAfter({ node, silentMs }: NodeView, nowMs: number): readonly NodeCondition[] {
  const known = node.status?.conditions ?? [];
  if (silentMs <= graceMs(node)) return known;
  const now = timestampOf(nowMs);
  const stopped = known.map((condition) => {
    if (!JUDGED.includes(condition.type) || condition.status === "Unknown") return condition;
    const told = { reason: "NodeStatusUnknown", message: "Kubelet stopped posting node status." };
    return { ...condition, status: "Unknown", ...told, lastTransitionTime: now };
  });
  const never = JUDGED.filter((type) => !known.some((condition) => condition.type === type)).map((type) => ({
    type,
    status: "Unknown",
    reason: "NodeStatusNeverUpdated",
    message: "Kubelet never posted node status.",
    lastHeartbeatTime: node.metadata.creationTimestamp ?? now,
    lastTransitionTime: now,
  }));
  return [...stopped, ...never];
}
