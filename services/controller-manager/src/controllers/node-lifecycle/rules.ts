/** Which taints a node's state means, and how fast nodes may be given up. Pure. */
import type { Node, Taint } from "@pilothouse/api/types/core-v1";
import { timestampOf } from "../../core/values.ts";

interface TaintRule {
  readonly condition: string;
  /** The condition's status that means the taint. */
  readonly status: string;
  readonly taint: string;
  /** Pods that do not tolerate it have to go. */
  readonly evicts: boolean;
  readonly why: string;
}

const PREFIX = "node.kubernetes.io/";
const UNSCHEDULABLE = `${PREFIX}unschedulable`;

export const taintRules: readonly TaintRule[] = [
  {
    condition: "Ready",
    status: "False",
    taint: `${PREFIX}not-ready`,
    evicts: true,
    why: "it says that it cannot run pods",
  },
  { condition: "Ready", status: "Unknown", taint: `${PREFIX}unreachable`, evicts: true, why: "nobody hears of it" },
  {
    condition: "MemoryPressure",
    status: "True",
    taint: `${PREFIX}memory-pressure`,
    evicts: false,
    why: "more would not fit",
  },
  {
    condition: "DiskPressure",
    status: "True",
    taint: `${PREFIX}disk-pressure`,
    evicts: false,
    why: "more would not fit",
  },
  {
    condition: "PIDPressure",
    status: "True",
    taint: `${PREFIX}pid-pressure`,
    evicts: false,
    why: "more would not fit",
  },
  {
    condition: "NetworkUnavailable",
    status: "True",
    taint: `${PREFIX}network-unavailable`,
    evicts: false,
    why: "pods could reach nobody",
  },
];

/** The taints after the rules; the same list when nothing changes. @param mayEvict whether NoExecute may be there */
export function taintsAfter(node: Node, mayEvict: boolean, nowMs: number): readonly Taint[] {
  const taints = node.spec?.taints ?? [];
  const wanted = wantedTaints(node, mayEvict);
  const kept = taints.filter((taint) => !isOurs(taint) || wanted.some((one) => isSame(one, taint)));
  const added = wanted.filter((one) => !taints.some((taint) => isSame(one, taint)));
  if (kept.length === taints.length && added.length === 0) return taints;
  return [...kept, ...added.map((taint) => ({ ...taint, timeAdded: timestampOf(nowMs) }))];
}

/** True when a rule asks for NoExecute. */
export function isToBeLeft(node: Node): boolean {
  return matching(node).some(({ evicts }) => evicts);
}

export function isBeingLeft({ spec }: Node): boolean {
  const evicting = taintRules.filter(({ evicts }) => evicts).map(({ taint }) => taint);
  return (spec?.taints ?? []).some(({ key, effect }) => effect === "NoExecute" && evicting.includes(key));
}

export function readyStatus({ status }: Node): string {
  return status?.conditions?.find(({ type }) => type === "Ready")?.status ?? "Unknown";
}

/** How long to wait between giving up one node and the next; undefined: none is given up. */
export interface Pace {
  readonly name: string;
  readonly when: (nodes: number, unready: number) => boolean;
  readonly intervalMs: number | undefined;
  readonly why: string;
}

/** Upstream's zone states, for the cluster as one zone. The first row that applies decides. */
export const paces: readonly Pace[] = [
  {
    name: "full disruption",
    when: (nodes, unready) => unready === nodes,
    intervalMs: undefined,
    why: "when no node is heard of, it is rather we who are cut off; there is nowhere to go anyway",
  },
  {
    name: "partial disruption of a small cluster",
    when: (nodes, unready) => isPartial(nodes, unready) && nodes <= 50,
    intervalMs: undefined,
    why: "what is left could not take all the pods",
  },
  { name: "partial disruption", when: isPartial, intervalMs: 100_000, why: "slowly: it may come back" },
  { name: "normal", when: () => true, intervalMs: 10_000, why: "upstream's 0.1 nodes a second" },
];

export function paceOf(nodes: readonly Node[]): Pace {
  const unready = nodes.filter((node) => readyStatus(node) !== "True").length;
  return paces.find(({ when }) => when(nodes.length, unready)) as Pace;
}

function isPartial(nodes: number, unready: number): boolean {
  return unready > 2 && unready / nodes >= 0.55;
}

function wantedTaints(node: Node, mayEvict: boolean): Taint[] {
  const wanted: Taint[] = node.spec?.unschedulable === true ? [{ key: UNSCHEDULABLE, effect: "NoSchedule" }] : [];
  for (const { taint, evicts } of matching(node)) {
    wanted.push({ key: taint, effect: "NoSchedule" });
    if (evicts && mayEvict) wanted.push({ key: taint, effect: "NoExecute" });
  }
  return wanted;
}

function matching({ status }: Node): readonly TaintRule[] {
  const conditions = status?.conditions ?? [];
  return taintRules.filter((rule) =>
    conditions.some(({ type, status }) => type === rule.condition && status === rule.status),
  );
}

function isOurs({ key, effect }: Taint): boolean {
  if (effect === "NoSchedule" && key === UNSCHEDULABLE) return true;
  return taintRules.some(
    ({ taint, evicts }) => key === taint && (effect === "NoSchedule" || (evicts && effect === "NoExecute")),
  );
}

function isSame(a: Taint, b: Taint): boolean {
  return a.key === b.key && a.effect === b.effect;
}
