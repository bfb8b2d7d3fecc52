/** When a node must end pods for its own good, and which. Upstream's thresholds, its ranking and its words. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { podAmountsWithOverhead } from "@pilothouse/kinds/core/pod-amounts";
import { podRequests } from "@pilothouse/kinds/core/pod-resources";
import { parseQuantity } from "@pilothouse/quantity";
import { isCritical, type Pressure } from "./admission.ts";
import type { MachineUsage } from "./usage.ts";

export type Signal =
  | "memory.available"
  | "nodefs.available"
  | "nodefs.inodesFree"
  | "imagefs.available"
  | "imagefs.inodesFree"
  | "pid.available";

export interface Threshold {
  readonly signal: Signal;
  /** An amount, or a share of the capacity. */
  readonly least: { readonly bytes: number } | { readonly share: number };
  /** How long it must have been crossed; absent: it is a hard one, and counts at once. */
  readonly graceMs?: number;
}

/** Upstream's defaults on Linux. */
export const HARD_THRESHOLDS: readonly Threshold[] = [
  { signal: "memory.available", least: { bytes: 100 * 2 ** 20 } },
  { signal: "nodefs.available", least: { share: 0.1 } },
  { signal: "nodefs.inodesFree", least: { share: 0.05 } },
  { signal: "imagefs.available", least: { share: 0.15 } },
  { signal: "imagefs.inodesFree", least: { share: 0.05 } },
];

/** How long after the last sign of it a pressure is still told. */
export const PRESSURE_TRANSITION_MS = 300_000;

export interface Shortage {
  readonly threshold: Threshold;
  readonly available: number;
  /** The threshold as an amount. */
  readonly least: number;
}

const PRESSURES: Readonly<Record<Signal, Pressure>> = {
  "memory.available": "MemoryPressure",
  "nodefs.available": "DiskPressure",
  "nodefs.inodesFree": "DiskPressure",
  "imagefs.available": "DiskPressure",
  "imagefs.inodesFree": "DiskPressure",
  "pid.available": "PIDPressure",
};

const RESOURCES: Readonly<Record<Signal, string>> = {
  "memory.available": "memory",
  "nodefs.available": "ephemeral-storage",
  "nodefs.inodesFree": "inodes",
  "imagefs.available": "ephemeral-storage",
  "imagefs.inodesFree": "inodes",
  "pid.available": "pids",
};

/** What is below its threshold, memory first: it hurts soonest. */
export function shortages(usage: MachineUsage, thresholds: readonly Threshold[]): readonly Shortage[] {
  return thresholds.flatMap((threshold) => {
    const { available, capacity } = amountsOf(usage, threshold.signal);
    const { least } = threshold;
    const amount = "bytes" in least ? least.bytes : least.share * capacity;
    // A file system that counts no inodes has not run out of them.
    return capacity > 0 && available < amount ? [{ threshold, available, least: amount }] : [];
  });
}

export function pressureOf({ threshold }: Shortage): Pressure {
  return PRESSURES[threshold.signal];
}

/** Pressures as they are told: those there are, and those that have not been over for long. `seen` is when each was last. */
export function pressuresTold(
  seen: ReadonlyMap<Pressure, number>,
  nowMs: number,
  transitionMs = PRESSURE_TRANSITION_MS,
): readonly Pressure[] {
  const order: readonly Pressure[] = ["MemoryPressure", "DiskPressure", "PIDPressure"];
  return order.filter((it) => nowMs - (seen.get(it) ?? Number.NEGATIVE_INFINITY) < transitionMs);
}

export interface PodUsage {
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly inodes: number;
}

export interface Eviction {
  readonly pod: Pod;
  readonly message: string;
}

/**
 * The pod to end for this shortage: of those that use more than they asked for, the one of least priority, and of these the one that
 * is furthest above. Undefined when only pods are left without which the node does not work.
 */
export function victimOf(
  shortage: Shortage,
  pods: readonly Pod[],
  usage: ReadonlyMap<string, PodUsage>,
): Eviction | undefined {
  const resource = RESOURCES[shortage.threshold.signal];
  const ranked = pods
    .filter((pod) => !isCritical(pod))
    .map((pod) => {
      const used = usedOf(usage.get(pod.metadata.uid ?? ""), resource);
      const excess = used - (podRequests(pod).get(resource) ?? 0);
      return { pod, used, excess, priority: pod.spec.priority ?? 0 };
    })
    .toSorted((a, b) => Number(b.excess > 0) - Number(a.excess > 0) || a.priority - b.priority || b.excess - a.excess);
  const [first] = ranked;
  return first && { pod: first.pod, message: messageOf(shortage, resource, first.pod, first.used) };
}

function messageOf({ available, least }: Shortage, resource: string, pod: Pod, used: number): string {
  const amounts = `Threshold quantity: ${amount(resource, least)}, available: ${amount(resource, available)}. `;
  const requested = podRequests(pod).get(resource) ?? 0;
  const names = pod.spec.containers.map(({ name }) => name).join(", ");
  const more =
    used > requested && resource !== "inodes"
      ? `Container ${names} was using ${amount(resource, used)}, request is ${requested === 0 ? "0" : amount(resource, requested)}, has larger consumption of ${resource}. `
      : "";
  return `The node was low on resource: ${resource}. ${amounts}${more}`;
}

export interface LocalUsage {
  /** By volume name; volumes on disk that have a limit. */
  readonly volumeBytes: ReadonlyMap<string, number>;
  /** By container name: its writable layer and its logs. */
  readonly containerBytes: ReadonlyMap<string, number>;
  /** All of these, and all volumes of the pod that lie on the disk. */
  readonly podBytes: number;
}

/** Why a pod must end that uses more of the disk than its own limits allow; undefined while it does not. */
export function overItsLimits({ spec }: Pod, usage: LocalUsage): string | undefined {
  const bytesOf = (text: string): number => Number(parseQuantity(text).value());
  for (const { name, emptyDir } of spec.volumes ?? []) {
    const limit = emptyDir?.sizeLimit;
    if (limit === undefined || emptyDir?.medium === "Memory") continue;
    if (bytesOf(limit) > 0 && (usage.volumeBytes.get(name) ?? 0) > bytesOf(limit))
      return `Usage of EmptyDir volume ${JSON.stringify(name)} exceeds the limit ${JSON.stringify(limit)}. `;
  }
  const total = podAmountsWithOverhead(spec, "limits").get("ephemeral-storage");
  if (total && !total.isZero() && usage.podBytes > Number(total.value()))
    return `Pod ephemeral local storage usage exceeds the total limit of containers ${total.toString()}. `;
  for (const { name, resources } of spec.containers) {
    const limit = resources?.limits?.["ephemeral-storage"];
    if (limit !== undefined && (usage.containerBytes.get(name) ?? 0) > bytesOf(limit))
      return `Container ${name} exceeded its local ephemeral storage limit ${JSON.stringify(limit)}. `;
  }
  return undefined;
}

function usedOf(usage: PodUsage | undefined, resource: string): number {
  if (!usage) return 0;
  if (resource === "memory") return usage.memoryBytes;
  return resource === "inodes" ? usage.inodes : usage.diskBytes;
}

function amountsOf(usage: MachineUsage, signal: Signal): { readonly available: number; readonly capacity: number } {
  switch (signal) {
    case "memory.available":
      return { available: usage.memoryAvailableBytes, capacity: usage.memoryCapacityBytes };
    case "nodefs.available":
      return { available: usage.nodeFs.availableBytes, capacity: usage.nodeFs.capacityBytes };
    case "nodefs.inodesFree":
      return { available: usage.nodeFs.inodesFree, capacity: usage.nodeFs.inodes };
    case "imagefs.available":
      return { available: usage.imageFs.availableBytes, capacity: usage.imageFs.capacityBytes };
    case "imagefs.inodesFree":
      return { available: usage.imageFs.inodesFree, capacity: usage.imageFs.inodes };
    case "pid.available":
      return { available: usage.maxProcesses - usage.processes, capacity: usage.maxProcesses };
  }
}

/** `95Mi`, `1200`: whole Mi from one on, as upstream's quantities mostly read. */
function amount(resource: string, value: number): string {
  if (resource === "inodes" || resource === "pids") return String(Math.floor(value));
  return value % 2 ** 20 === 0 ? `${value / 2 ** 20}Mi` : `${Math.floor(value / 1024)}Ki`;
}
