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

/** Region and zone of a node, "" where it says neither: nodes of one zone are given up one after the other. */
export function zoneOf({ metadata }: Node): string {
  const { labels = {} } = metadata;
  const [region, zone] = ["region", "zone"].map(
    (key) => labels[`topology.kubernetes.io/${key}`] ?? labels[`failure-domain.beta.kubernetes.io/${key}`] ?? "",
  );
  return region || zone ? `${region}:${zone}` : "";
}

/** How long to wait between giving up one node and the next. */
export interface Pace {
  readonly name: string;
  readonly when: (zone: Health, zones: readonly Health[]) => boolean;
  /** Undefined: none is given up. */
  readonly intervalMs: number | undefined;
  readonly why: string;
}

/** Of a zone's nodes that count. */
export interface Health {
  readonly ready: number;
  readonly unready: number;
}

const LARGE_ZONE = 50;
const UNHEALTHY_SHARE = 0.55;

/** Upstream's zone states. The first row that applies decides. */
export const paces: readonly Pace[] = [
  {
    name: "all zones are down",
    when: (_zone, zones) => zones.every(isDown),
    intervalMs: undefined,
    why: "when no node is heard of, it is rather we who are cut off; there is nowhere to go anyway",
  },
  {
    name: "a zone is down",
    when: isDown,
    intervalMs: 10_000,
    why: "there are other zones to go to",
  },
  {
    name: "partial disruption of a small zone",
    when: (zone) => isPartlyDown(zone) && zone.ready + zone.unready <= LARGE_ZONE,
    intervalMs: undefined,
    why: "what is left could not take all the pods",
  },
  { name: "partial disruption", when: isPartlyDown, intervalMs: 100_000, why: "slowly: it may come back" },
  { name: "normal", when: () => true, intervalMs: 10_000, why: "upstream's 0.1 nodes a second" },
];

/** For the node's zone, as all of them are. */
export function paceOf(node: Node, nodes: readonly Node[]): Pace {
  const zones = new Map<string, Health>();
  for (const each of nodes) {
    if (each.metadata.labels?.[EXCLUDED] !== undefined) continue;
    const { ready, unready } = zones.get(zoneOf(each)) ?? NOBODY;
    const isReady = readyStatus(each) === "True";
    zones.set(zoneOf(each), { ready: ready + Number(isReady), unready: unready + Number(!isReady) });
  }
  const zone = zones.get(zoneOf(node)) ?? NOBODY;
  const all = [...zones.values()];
  return paces.find(({ when }) => when(zone, all)) as Pace;
}

export function areAllDown(pace: Pace): boolean {
  return pace === paces[0];
}

/** Nodes with this label do not count: they come and go as they like. */
const EXCLUDED = "node.kubernetes.io/exclude-disruption";
const NOBODY: Health = { ready: 0, unready: 0 };

function isDown({ ready, unready }: Health): boolean {
  return ready === 0 && unready > 0;
}

function isPartlyDown({ ready, unready }: Health): boolean {
  return unready > 2 && unready / (ready + unready) >= UNHEALTHY_SHARE;
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
