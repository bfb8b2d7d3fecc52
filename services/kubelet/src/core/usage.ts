/** What the machine uses of what it has, at one moment. Pure shapes and their reading. */

export interface FsUsage {
  readonly capacityBytes: number;
  readonly availableBytes: number;
  readonly inodes: number;
  readonly inodesFree: number;
}

export interface MachineUsage {
  readonly atMs: number;
  /** Since boot, of all cores. */
  readonly cpuUsageNs: number;
  readonly bootedAtMs: number;
  readonly memoryCapacityBytes: number;
  /** What new work can have without swapping. */
  readonly memoryAvailableBytes: number;
  readonly processes: number;
  readonly maxProcesses: number;
  /** Where pods write. */
  readonly nodeFs: FsUsage;
  /** Where images are; the same object when that is one file system. */
  readonly imageFs: FsUsage;
}

/** Cores in use between two readings, in billionths: upstream's usageNanoCores. Undefined without a span to measure. */
export function nanoCores(
  before: { readonly atMs: number; readonly cpuUsageNs: number } | undefined,
  now: { readonly atMs: number; readonly cpuUsageNs: number },
): number | undefined {
  if (!before || now.atMs <= before.atMs || now.cpuUsageNs < before.cpuUsageNs) return undefined;
  return Math.round(((now.cpuUsageNs - before.cpuUsageNs) / (now.atMs - before.atMs)) * 1_000);
}
