/**
 * The cgroups above containers: all pods together, the classes of service, and each pod. Upstream's names (its cgroupfs driver's) and
 * amounts; the same plan for cgroup v1 and v2. Pure.
 */
import type { Container, Pod } from "@pilothouse/api/types/core-v1";
import { podAmountsWithOverhead, type Asked } from "@pilothouse/kinds/core/pod-amounts";
import { qosClassOf } from "@pilothouse/kinds/core/resource-rules";
import { parseQuantity } from "@pilothouse/quantity";
import { uidOf } from "./pod-runtime.ts";

/** Limits of one cgroup. What is undefined is not limited. */
export interface CgroupLimits {
  readonly cpuShares: number;
  /** Of each period of 100 ms. */
  readonly cpuQuotaUs: number | undefined;
  readonly memoryBytes: number | undefined;
  readonly pids: number | undefined;
}

export type CgroupVersion = 1 | 2;
export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

export const CPU_PERIOD_US = 100_000;
const MIN_QUOTA_US = 1_000;
const SHARES_PER_CPU = 1024;
export const MIN_SHARES = 2;
const MAX_SHARES = 262_144;

const FOLDERS: Readonly<Record<QosClass, string>> = {
  Guaranteed: "kubepods",
  Burstable: "kubepods/burstable",
  BestEffort: "kubepods/besteffort",
};

/** `/kubepods`, below the root. */
export function podsCgroup(root: string): string {
  return `${root}/${FOLDERS.Guaranteed}`;
}

/** Where the pods of a class are; guaranteed pods have no folder of their own. */
export function qosCgroup(qosClass: QosClass, root: string): string {
  return `${root}/${FOLDERS[qosClass]}`;
}

export function podCgroup(pod: Pod, root: string): string {
  return `${qosCgroup(qosClassIn(pod), root)}/pod${uidOf(pod)}`;
}

/** Everywhere a pod of this uid may have been, by whatever class, and by an older kubelet of ours. */
export function podCgroups(uid: string, root: string): readonly string[] {
  return [root, ...Object.values(FOLDERS).map((folder) => `${root}/${folder}`)].map((parent) => `${parent}/pod${uid}`);
}

/** It never changes, whatever the pod is resized to. */
export function qosClassIn(pod: Pod): QosClass {
  return (pod.status?.qosClass as QosClass | undefined) ?? qosClassOf(pod);
}

export function sharesOf(milliCpu: number): number {
  return Math.min(MAX_SHARES, Math.max(MIN_SHARES, Math.floor((milliCpu * SHARES_PER_CPU) / 1000)));
}

/** Undefined for no limit. */
export function quotaOf(milliCpu: number): number | undefined {
  return milliCpu === 0 ? undefined : Math.max(MIN_QUOTA_US, Math.floor((milliCpu * CPU_PERIOD_US) / 1000));
}

/**
 * A pod's limits: those of its containers together, or its own, with its overhead. It has a limit of what every container has a limit
 * of. Upstream's ResourceConfigForPod. `pids` = 0: as many as the node has.
 */
export function podLimits(pod: Pod, pids: number): CgroupLimits {
  const none = { cpuQuotaUs: undefined, memoryBytes: undefined, pids: pids > 0 ? pids : undefined };
  if (qosClassIn(pod) === "BestEffort") return { ...none, cpuShares: MIN_SHARES };
  const [requests, limits] = (["requests", "limits"] as const).map((asked: Asked) =>
    podAmountsWithOverhead(pod.spec, asked),
  );
  const cpuLimit = isLimited(pod, "cpu") ? Number(limits?.get("cpu")?.milliValue() ?? 0) : 0;
  const memoryLimit = isLimited(pod, "memory") ? Number(limits?.get("memory")?.value() ?? 0) : 0;
  return {
    ...none,
    cpuShares: sharesOf(Number(requests?.get("cpu")?.milliValue() ?? 0)),
    cpuQuotaUs: quotaOf(cpuLimit),
    memoryBytes: memoryLimit > 0 ? memoryLimit : undefined,
  };
}

function isLimited({ spec }: Pod, name: "cpu" | "memory"): boolean {
  const positive = (text: string | undefined): boolean => text !== undefined && !parseQuantity(text).isZero();
  if (positive(spec.resources?.limits?.[name])) return true;
  const containers: readonly Container[] = [...spec.containers, ...(spec.initContainers ?? [])];
  return containers.length > 0 && containers.every((it) => positive(it.resources?.limits?.[name]));
}

/**
 * While containers change their limits the pod has the larger of what it had and what it gets: no child may have more than its parent.
 */
export function widest(a: CgroupLimits, b: CgroupLimits): CgroupLimits {
  const larger = (one: number | undefined, other: number | undefined): number | undefined =>
    one === undefined || other === undefined ? undefined : Math.max(one, other);
  return {
    cpuShares: Math.max(a.cpuShares, b.cpuShares),
    cpuQuotaUs: larger(a.cpuQuotaUs, b.cpuQuotaUs),
    memoryBytes: larger(a.memoryBytes, b.memoryBytes),
    pids: larger(a.pids, b.pids),
  };
}

export interface NodeShare {
  readonly milliCpu: number;
  /** What pods may have together: all but what is kept for system and Kubernetes. What eviction keeps free counts as theirs. */
  readonly memoryBytes: number;
}

/** All pods together have no more than the node gives away. Upstream's enforcement of node allocatable. */
export function podsLimits({ milliCpu, memoryBytes }: NodeShare): CgroupLimits {
  return { cpuShares: sharesOf(milliCpu), cpuQuotaUs: undefined, memoryBytes, pids: undefined };
}

/** A class's weight beside guaranteed pods is what its pods asked for; best effort has the least there is. */
export function qosLimits(qosClass: "Burstable" | "BestEffort", pods: readonly Pod[]): CgroupLimits {
  const none = { cpuQuotaUs: undefined, memoryBytes: undefined, pids: undefined };
  if (qosClass === "BestEffort") return { ...none, cpuShares: MIN_SHARES };
  const milli = pods
    .filter((pod) => qosClassIn(pod) === "Burstable")
    .map((pod) => Number(podAmountsWithOverhead(pod.spec, "requests").get("cpu")?.milliValue() ?? 0));
  return { ...none, cpuShares: sharesOf(milli.reduce((sum, it) => sum + it, 0)) };
}

/** One file of a cgroup. `controller` is the hierarchy of v1, and what v2 must have switched on for the folder. */
export interface CgroupFile {
  readonly controller: "cpu" | "memory" | "pids";
  readonly name: string;
  readonly value: string;
}

/** The limits as files, in the order in which they can be written. */
export function cgroupFiles(version: CgroupVersion, limits: CgroupLimits): readonly CgroupFile[] {
  const { cpuShares, cpuQuotaUs, memoryBytes, pids } = limits;
  const most = (value: number | undefined): string => (value === undefined ? "max" : String(value));
  if (version === 2) {
    return [
      { controller: "cpu", name: "cpu.weight", value: String(weightOf(cpuShares)) },
      { controller: "cpu", name: "cpu.max", value: `${most(cpuQuotaUs)} ${CPU_PERIOD_US}` },
      { controller: "memory", name: "memory.max", value: most(memoryBytes) },
      { controller: "pids", name: "pids.max", value: most(pids) },
    ];
  }
  return [
    { controller: "cpu", name: "cpu.shares", value: String(cpuShares) },
    { controller: "cpu", name: "cpu.cfs_period_us", value: String(CPU_PERIOD_US) },
    { controller: "cpu", name: "cpu.cfs_quota_us", value: String(cpuQuotaUs ?? -1) },
    { controller: "memory", name: "memory.limit_in_bytes", value: String(memoryBytes ?? -1) },
    { controller: "pids", name: "pids.max", value: most(pids) },
  ];
}

/** v2's weight for v1's shares, as runc and upstream's kubelet convert them: 2 → 1, 1024 → 100, 262144 → 10000. */
export function weightOf(shares: number): number {
  if (shares <= MIN_SHARES) return 1;
  if (shares >= MAX_SHARES) return 10_000;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}
