/** `/stats/summary`: what node, pods, containers and volumes use, as upstream's kubelet tells it. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { ContainerStats, ImageFsInfo } from "@pilothouse/runtime";
import { seconds } from "./container-status.ts";
import { LABEL_CONTAINER_NAME, LABEL_POD_UID, uidOf } from "./pod-runtime.ts";
import type { CgroupUsage, InterfaceUsage } from "./cgroup-usage.ts";
import { nanoCores, type FsUsage, type MachineUsage } from "./usage.ts";

/** One reading, beside the one before, from which rates follow. */
export interface StatsReading {
  readonly nodeName: string;
  readonly cpus: number;
  readonly machine: MachineUsage;
  readonly machineBefore: MachineUsage | undefined;
  readonly pods: readonly Pod[];
  readonly containers: readonly ContainerStats[];
  readonly containersBefore: ReadonlyMap<string, ContainerStats>;
  readonly images: ImageFsInfo | undefined;
  /** Of the node's own interfaces. */
  readonly network: readonly InterfaceUsage[];
  /** By pod uid; pods of the node's own network have none. */
  readonly networks: ReadonlyMap<string, readonly InterfaceUsage[]>;
  /** By pod uid. */
  readonly volumes: ReadonlyMap<string, readonly VolumeUsage[]>;
  /** What the kernel says of a container's cgroup, by container id. */
  readonly cgroups: ReadonlyMap<string, CgroupUsage>;
  /** What a container's log files take, by container id. */
  readonly logBytes: ReadonlyMap<string, number>;
}

export interface VolumeUsage {
  readonly name: string;
  readonly usedBytes: number;
  readonly inodesUsed: number;
  /** Of the file system that it lies on. */
  readonly fs: FsUsage;
  /** It takes of the node's disk, and not of its memory. */
  readonly onDisk: boolean;
}

export function statsSummary(reading: StatsReading): object {
  const { nodeName, machine, machineBefore, pods, images, network } = reading;
  const time = seconds(machine.atMs);
  const usedBytes = machine.memoryCapacityBytes - machine.memoryAvailableBytes;
  return {
    node: {
      nodeName,
      startTime: seconds(machine.bootedAtMs),
      cpu: { time, ...rate(machineBefore, machine), usageCoreNanoSeconds: machine.cpuUsageNs },
      memory: {
        time,
        availableBytes: machine.memoryAvailableBytes,
        usageBytes: usedBytes,
        workingSetBytes: usedBytes,
      },
      ...networkStats(time, network),
      fs: { time, ...fsStats(machine.nodeFs) },
      runtime: { imageFs: { time, ...fsStats(machine.imageFs), ...(images ? { usedBytes: images.usedBytes } : {}) } },
      rlimit: { time, maxpid: machine.maxProcesses, curproc: machine.processes },
    },
    pods: pods.map((pod) => podStats(reading, pod)),
  };
}

function podStats(reading: StatsReading, pod: Pod): object {
  const { containers, containersBefore, machine, networks, volumes, cgroups, logBytes } = reading;
  const own = containers.filter(({ labels }) => labels[LABEL_POD_UID] === uidOf(pod));
  const time = seconds(machine.atMs);
  const sum = (of: (stats: ContainerStats) => number): number => own.reduce((total, it) => total + of(it), 0);
  const rates = own.map((it) => nanoCores(containersBefore.get(it.id), it));
  const usageNanoCores = rates.reduce<number | undefined>(
    (total, it) => (it === undefined ? total : (total ?? 0) + it),
    undefined,
  );
  const mounted = volumes.get(uidOf(pod)) ?? [];
  const onDisk = mounted.filter((it) => it.onDisk);
  const volumeBytes = onDisk.reduce((total, it) => total + it.usedBytes, 0);
  const volumeInodes = onDisk.reduce((total, it) => total + it.inodesUsed, 0);
  const known = own.map(({ id }) => cgroups.get(id)).filter((it) => it !== undefined);
  return {
    podRef: { name: pod.metadata.name, namespace: pod.metadata.namespace, uid: uidOf(pod) },
    startTime: pod.status?.startTime ?? time,
    containers: own.map((stats) => containerStats(reading, pod, stats)),
    cpu: {
      time,
      ...(usageNanoCores === undefined ? {} : { usageNanoCores }),
      usageCoreNanoSeconds: sum((it) => it.cpuUsageNs),
    },
    memory: { time, workingSetBytes: sum((it) => it.memoryWorkingSetBytes), ...memoryStats(known) },
    ...networkStats(time, networks.get(uidOf(pod)) ?? []),
    ...(mounted.length === 0 ? {} : { volume: mounted.map((it) => volumeStats(time, it)) }),
    "ephemeral-storage": {
      time,
      availableBytes: machine.nodeFs.availableBytes,
      capacityBytes: machine.nodeFs.capacityBytes,
      usedBytes: sum((it) => it.diskUsedBytes + (logBytes.get(it.id) ?? 0)) + volumeBytes,
      inodesFree: machine.nodeFs.inodesFree,
      inodes: machine.nodeFs.inodes,
      inodesUsed: sum((it) => it.diskInodes) + volumeInodes,
    },
    ...(known.length === 0
      ? {}
      : { process_stats: { process_count: known.reduce((total, it) => total + it.processes, 0) } }),
  };
}

function containerStats(
  { machine, containersBefore, cgroups, logBytes }: StatsReading,
  pod: Pod,
  stats: ContainerStats,
): object {
  const time = seconds(stats.atMs);
  const cgroup = cgroups.get(stats.id);
  return {
    name: stats.labels[LABEL_CONTAINER_NAME] ?? "",
    startTime: startOf(pod, stats.id) ?? seconds(machine.atMs),
    cpu: { time, ...rate(containersBefore.get(stats.id), stats), usageCoreNanoSeconds: stats.cpuUsageNs },
    memory: { time, workingSetBytes: stats.memoryWorkingSetBytes, ...memoryStats(cgroup ? [cgroup] : []) },
    rootfs: { time, ...fsOf(machine.imageFs, stats.diskUsedBytes, stats.diskInodes) },
    ...(logBytes.has(stats.id)
      ? { logs: { time, ...fsOf(machine.nodeFs, logBytes.get(stats.id) ?? 0, undefined) } }
      : {}),
  };
}

function memoryStats(cgroups: readonly CgroupUsage[]): object {
  if (cgroups.length === 0) return {};
  const sum = (of: (usage: CgroupUsage) => number): number => cgroups.reduce((total, it) => total + of(it), 0);
  return {
    usageBytes: sum((it) => it.memoryBytes),
    rssBytes: sum((it) => it.rssBytes),
    pageFaults: sum((it) => it.pageFaults),
    majorPageFaults: sum((it) => it.majorPageFaults),
  };
}

/** The first interface stands for all in the fields beside the list, as upstream has its `eth0`. */
function networkStats(time: string, interfaces: readonly InterfaceUsage[]): object {
  const told = interfaces.map(({ name, rxBytes, rxErrors, txBytes, txErrors }) => {
    return { name, rxBytes, rxErrors, txBytes, txErrors };
  });
  const first = told.find(({ name }) => name === "eth0") ?? told[0];
  return first ? { network: { time, ...first, interfaces: told } } : {};
}

function volumeStats(time: string, { name, usedBytes, inodesUsed, fs }: VolumeUsage): object {
  return { time, ...fsOf(fs, usedBytes, inodesUsed), name };
}

/** A part of a file system: what is free is everybody's. */
function fsOf(fs: FsUsage, usedBytes: number, inodesUsed: number | undefined): object {
  const { availableBytes, capacityBytes, inodesFree, inodes } = fs;
  const used = inodesUsed === undefined ? {} : { inodesUsed };
  return { availableBytes, capacityBytes, usedBytes, inodesFree, inodes, ...used };
}

function rate(
  before: { readonly atMs: number; readonly cpuUsageNs: number } | undefined,
  now: { readonly atMs: number; readonly cpuUsageNs: number },
): { usageNanoCores?: number } {
  const usageNanoCores = nanoCores(before, now);
  return usageNanoCores === undefined ? {} : { usageNanoCores };
}

function fsStats(usage: FsUsage): object {
  return {
    availableBytes: usage.availableBytes,
    capacityBytes: usage.capacityBytes,
    usedBytes: usage.capacityBytes - usage.availableBytes,
    inodesFree: usage.inodesFree,
    inodes: usage.inodes,
    inodesUsed: usage.inodes - usage.inodesFree,
  };
}

export function startOf({ status }: Pod, containerId: string): string | undefined {
  const statuses = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  return statuses.find((it) => it.containerID === `containerd://${containerId}`)?.state?.running?.startedAt;
}
