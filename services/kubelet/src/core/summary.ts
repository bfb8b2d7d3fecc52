/** `/stats/summary` and `/metrics/resource`: what node, pods and containers use, in the forms that metrics-server and Prometheus read. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { ContainerStats, ImageFsInfo } from "@pilothouse/runtime";
import { seconds } from "./container-status.ts";
import { LABEL_CONTAINER_NAME, LABEL_POD_UID, uidOf } from "./pod-runtime.ts";
import { nanoCores, type FsUsage, type MachineUsage } from "./usage.ts";

/** One reading, beside the one before, from which rates follow. */
export interface StatsReading {
  readonly nodeName: string;
  readonly machine: MachineUsage;
  readonly machineBefore: MachineUsage | undefined;
  readonly pods: readonly Pod[];
  readonly containers: readonly ContainerStats[];
  readonly containersBefore: ReadonlyMap<string, ContainerStats>;
  readonly images: ImageFsInfo | undefined;
}

export function statsSummary(reading: StatsReading): object {
  const { nodeName, machine, machineBefore, pods, images } = reading;
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
      fs: { time, ...fsStats(machine.nodeFs) },
      runtime: { imageFs: { time, ...fsStats(machine.imageFs), ...(images ? { usedBytes: images.usedBytes } : {}) } },
      rlimit: { time, maxpid: machine.maxProcesses, curproc: machine.processes },
    },
    pods: pods.map((pod) => podStats(reading, pod)),
  };
}

function podStats({ containers, containersBefore, machine }: StatsReading, pod: Pod): object {
  const own = containers.filter(({ labels }) => labels[LABEL_POD_UID] === uidOf(pod));
  const time = seconds(machine.atMs);
  const sum = (of: (stats: ContainerStats) => number): number => own.reduce((total, it) => total + of(it), 0);
  const rates = own.map((it) => nanoCores(containersBefore.get(it.id), it));
  const usageNanoCores = rates.reduce<number | undefined>(
    (total, it) => (it === undefined ? total : (total ?? 0) + it),
    undefined,
  );
  return {
    podRef: { name: pod.metadata.name, namespace: pod.metadata.namespace, uid: uidOf(pod) },
    startTime: pod.status?.startTime ?? time,
    containers: own.map((stats) => ({
      name: stats.labels[LABEL_CONTAINER_NAME] ?? "",
      startTime: startOf(pod, stats.id) ?? time,
      cpu: {
        time: seconds(stats.atMs),
        ...rate(containersBefore.get(stats.id), stats),
        usageCoreNanoSeconds: stats.cpuUsageNs,
      },
      memory: { time: seconds(stats.atMs), workingSetBytes: stats.memoryWorkingSetBytes },
      rootfs: { time: seconds(stats.atMs), usedBytes: stats.diskUsedBytes, inodesUsed: stats.diskInodes },
    })),
    cpu: {
      time,
      ...(usageNanoCores === undefined ? {} : { usageNanoCores }),
      usageCoreNanoSeconds: sum((it) => it.cpuUsageNs),
    },
    memory: { time, workingSetBytes: sum((it) => it.memoryWorkingSetBytes) },
    "ephemeral-storage": { time, usedBytes: sum((it) => it.diskUsedBytes), inodesUsed: sum((it) => it.diskInodes) },
  };
}

/** In the text format of Prometheus, each sample with its time. */
export function resourceMetrics({ machine, pods, containers }: StatsReading): string {
  const byUid = new Map(pods.map((pod) => [uidOf(pod), pod]));
  const families = new Map<string, Family>(FAMILIES.map((family) => [family.name, { ...family, samples: [] }]));
  const add = (name: string, labels: Readonly<Record<string, string>>, value: number, atMs?: number): void => {
    const written = Object.entries(labels).map(([key, text]) => `${key}=${JSON.stringify(text)}`);
    const set = written.length === 0 ? "" : `{${written.join(",")}}`;
    families.get(name)?.samples.push(`${name}${set} ${value}${atMs === undefined ? "" : ` ${Math.floor(atMs)}`}`);
  };
  const totals = new Map<string, { cpuNs: number; memoryBytes: number; atMs: number }>();
  for (const stats of containers) {
    const pod = byUid.get(stats.labels[LABEL_POD_UID] ?? "");
    if (!pod) continue;
    const { name = "", namespace = "" } = pod.metadata;
    const labels = { container: stats.labels[LABEL_CONTAINER_NAME] ?? "", namespace, pod: name };
    add("container_cpu_usage_seconds_total", labels, stats.cpuUsageNs / 1e9, stats.atMs);
    add("container_memory_working_set_bytes", labels, stats.memoryWorkingSetBytes, stats.atMs);
    const started = startOf(pod, stats.id);
    if (started !== undefined) add("container_start_time_seconds", labels, Date.parse(started) / 1000);
    const total = totals.get(uidOf(pod)) ?? { cpuNs: 0, memoryBytes: 0, atMs: stats.atMs };
    total.cpuNs += stats.cpuUsageNs;
    total.memoryBytes += stats.memoryWorkingSetBytes;
    totals.set(uidOf(pod), total);
  }
  for (const [uid, { cpuNs, memoryBytes, atMs }] of totals) {
    const { name = "", namespace = "" } = byUid.get(uid)?.metadata ?? {};
    add("pod_cpu_usage_seconds_total", { namespace, pod: name }, cpuNs / 1e9, atMs);
    add("pod_memory_working_set_bytes", { namespace, pod: name }, memoryBytes, atMs);
  }
  const usedBytes = machine.memoryCapacityBytes - machine.memoryAvailableBytes;
  add("node_cpu_usage_seconds_total", {}, machine.cpuUsageNs / 1e9, machine.atMs);
  add("node_memory_working_set_bytes", {}, usedBytes, machine.atMs);
  add("resource_scrape_error", {}, 0);
  return [...families.values()]
    .map(({ name, type, help, samples }) =>
      [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples, ""].join("\n"),
    )
    .join("");
}

interface Family {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly samples: string[];
}

const FAMILIES: readonly Omit<Family, "samples">[] = [
  counter("container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds"),
  gauge("container_memory_working_set_bytes", "Current working set of the container in bytes"),
  gauge("container_start_time_seconds", "Start time of the container since unix epoch in seconds"),
  counter("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds"),
  gauge("node_memory_working_set_bytes", "Current working set of the node in bytes"),
  counter("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds"),
  gauge("pod_memory_working_set_bytes", "Current working set of the pod in bytes"),
  gauge("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise"),
];

function counter(name: string, help: string): Omit<Family, "samples"> {
  return { name, type: "counter", help: `[STABLE] ${help}` };
}

function gauge(name: string, help: string): Omit<Family, "samples"> {
  return { name, type: "gauge", help: `[STABLE] ${help}` };
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

function startOf({ status }: Pod, containerId: string): string | undefined {
  const statuses = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  return statuses.find((it) => it.containerID === `containerd://${containerId}`)?.state?.running?.startedAt;
}
