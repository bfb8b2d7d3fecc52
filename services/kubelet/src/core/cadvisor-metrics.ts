/** `/metrics/cadvisor`: what containers and pods use, under the names and labels that dashboards know from cAdvisor. Pure. */
import type { Container, Pod } from "@pilothouse/api/types/core-v1";
import { podCgroup, podLimits, quotaOf, sharesOf, CPU_PERIOD_US } from "./cgroups.ts";
import type { InterfaceUsage } from "./cgroup-usage.ts";
import { Exposition, type FamilyHead } from "./exposition.ts";
import { parseQuantity } from "@pilothouse/quantity";
import { containerNamed, LABEL_CONTAINER_NAME, LABEL_POD_UID, uidOf } from "./pod-runtime.ts";
import { startOf, type StatsReading } from "./summary.ts";

type Labels = Readonly<Record<string, string>>;

/** `cgroupRoot` is what the cgroups of pods lie below: their paths are the label `id`. */
export function cadvisorMetrics(reading: StatsReading, cgroupRoot: string): string {
  const out = new Exposition(FAMILIES);
  const { machine, pods, containers, networks } = reading;
  const byUid = new Map(pods.map((pod) => [uidOf(pod), pod]));
  for (const stats of containers) {
    const pod = byUid.get(stats.labels[LABEL_POD_UID] ?? "");
    const name = stats.labels[LABEL_CONTAINER_NAME] ?? "";
    const container = pod && containerNamed(pod, name);
    if (!pod || !container) continue;
    const id = `${podCgroup(pod, cgroupRoot)}/${stats.id}`;
    addContainer(
      out,
      reading,
      { pod, container, labels: labelsOf(pod, { container: name, id, name: stats.id }) },
      stats,
    );
  }
  for (const pod of pods) {
    const labels = labelsOf(pod, { container: "", id: podCgroup(pod, cgroupRoot), name: "" });
    for (const one of networks.get(uidOf(pod)) ?? []) addInterface(out, labels, one, machine.atMs);
    addPod(out, reading, pod, labels);
  }
  for (const one of reading.network) addInterface(out, { ...NOBODY, id: "/" }, one, machine.atMs);
  out.add("machine_cpu_cores", {}, reading.cpus);
  out.add("machine_memory_bytes", {}, machine.memoryCapacityBytes);
  out.add("container_scrape_error", {}, 0);
  return out.text();
}

interface Subject {
  readonly pod: Pod;
  readonly container: Container;
  readonly labels: Labels;
}

function addContainer(
  out: Exposition,
  { cgroups }: StatsReading,
  { pod, container, labels }: Subject,
  stats: StatsReading["containers"][number],
): void {
  const { atMs } = stats;
  const usage = cgroups.get(stats.id);
  const add = (name: string, value: number | undefined, more: Labels = {}): void =>
    out.add(name, { ...labels, ...more }, value, atMs);
  add("container_cpu_usage_seconds_total", stats.cpuUsageNs / 1e9, { cpu: "total" });
  add("container_cpu_cfs_periods_total", usage?.cpuPeriods);
  add("container_cpu_cfs_throttled_periods_total", usage?.throttledPeriods);
  add("container_cpu_cfs_throttled_seconds_total", usage && usage.throttledNs / 1e9);
  add("container_memory_working_set_bytes", stats.memoryWorkingSetBytes);
  add("container_memory_usage_bytes", usage?.memoryBytes);
  add("container_memory_rss", usage?.rssBytes);
  add("container_memory_cache", usage?.cacheBytes);
  add("container_memory_failures_total", usage?.pageFaults, { failure_type: "pgfault", scope: "container" });
  add("container_memory_failures_total", usage?.majorPageFaults, { failure_type: "pgmajfault", scope: "container" });
  add("container_processes", usage?.processes);
  add("container_fs_usage_bytes", stats.diskUsedBytes, { device: "" });
  add("container_last_seen", Math.floor(atMs / 1000));
  const started = startOf(pod, stats.id);
  add("container_start_time_seconds", started === undefined ? undefined : Date.parse(started) / 1000);
  const { limits = {}, requests = {} } = container.resources ?? {};
  const milli = (text: string | undefined): number =>
    text === undefined ? 0 : Number(parseQuantity(text).milliValue());
  const { memory } = limits;
  add("container_spec_memory_limit_bytes", memory === undefined ? 0 : Number(parseQuantity(memory).value()));
  add("container_spec_cpu_period", CPU_PERIOD_US);
  add("container_spec_cpu_quota", quotaOf(milli(limits["cpu"])));
  add("container_spec_cpu_shares", sharesOf(milli(requests["cpu"] ?? limits["cpu"])));
}

/** Of a pod as a whole: the sum of its containers. */
function addPod(out: Exposition, { containers, machine }: StatsReading, pod: Pod, labels: Labels): void {
  const own = containers.filter((it) => it.labels[LABEL_POD_UID] === uidOf(pod));
  if (own.length === 0) return;
  const sum = (of: (stats: (typeof own)[number]) => number): number => own.reduce((total, it) => total + of(it), 0);
  const add = (name: string, value: number | undefined, more: Labels = {}): void =>
    out.add(name, { ...labels, ...more }, value, machine.atMs);
  const limits = podLimits(pod, 0);
  add("container_cpu_usage_seconds_total", sum((it) => it.cpuUsageNs) / 1e9, { cpu: "total" });
  add(
    "container_memory_working_set_bytes",
    sum((it) => it.memoryWorkingSetBytes),
  );
  add("container_spec_memory_limit_bytes", limits.memoryBytes ?? 0);
  add("container_spec_cpu_shares", limits.cpuShares);
  add("container_spec_cpu_quota", limits.cpuQuotaUs);
}

function addInterface(out: Exposition, labels: Labels, usage: InterfaceUsage, atMs: number): void {
  const own = { ...labels, interface: usage.name };
  for (const [direction, part] of [
    ["receive", "rx"],
    ["transmit", "tx"],
  ] as const) {
    out.add(`container_network_${direction}_bytes_total`, own, usage[`${part}Bytes`], atMs);
    out.add(`container_network_${direction}_packets_total`, own, usage[`${part}Packets`], atMs);
    out.add(`container_network_${direction}_errors_total`, own, usage[`${part}Errors`], atMs);
    out.add(`container_network_${direction}_packets_dropped_total`, own, usage[`${part}Dropped`], atMs);
  }
}

const NOBODY = { container: "", image: "", name: "", namespace: "", pod: "" };

function labelsOf(pod: Pod, own: { readonly container: string; readonly id: string; readonly name: string }): Labels {
  const { name = "", namespace = "" } = pod.metadata;
  const image = containerNamed(pod, own.container)?.image ?? "";
  return { container: own.container, id: own.id, image, name: own.name, namespace, pod: name };
}

const FAMILIES: readonly FamilyHead[] = [
  counter("container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals."),
  counter("container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals."),
  counter("container_cpu_cfs_throttled_seconds_total", "Total time duration the container has been throttled."),
  counter("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds."),
  gauge("container_fs_usage_bytes", "Number of bytes that are consumed by the container on this filesystem."),
  gauge("container_last_seen", "Last time a container was seen by the exporter"),
  gauge("container_memory_cache", "Number of bytes of page cache memory."),
  counter("container_memory_failures_total", "Cumulative count of memory allocation failures."),
  gauge("container_memory_rss", "Size of RSS in bytes."),
  gauge(
    "container_memory_usage_bytes",
    "Current memory usage in bytes, including all memory regardless of when it was accessed",
  ),
  gauge("container_memory_working_set_bytes", "Current working set in bytes."),
  ...(["receive", "transmit"] as const).flatMap((direction) => {
    const done = direction === "receive" ? "received" : "transmitted";
    const doing = direction === "receive" ? "receiving" : "transmitting";
    return [
      counter(`container_network_${direction}_bytes_total`, `Cumulative count of bytes ${done}`),
      counter(`container_network_${direction}_errors_total`, `Cumulative count of errors encountered while ${doing}`),
      counter(
        `container_network_${direction}_packets_dropped_total`,
        `Cumulative count of packets dropped while ${doing}`,
      ),
      counter(`container_network_${direction}_packets_total`, `Cumulative count of packets ${done}`),
    ];
  }),
  gauge("container_processes", "Number of processes running inside the container."),
  gauge("container_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise"),
  gauge("container_spec_cpu_period", "CPU period of the container."),
  gauge("container_spec_cpu_quota", "CPU quota of the container."),
  gauge("container_spec_cpu_shares", "CPU share of the container."),
  gauge("container_spec_memory_limit_bytes", "Memory limit for the container."),
  gauge("container_start_time_seconds", "Start time of the container since unix epoch in seconds."),
  gauge("machine_cpu_cores", "Number of logical CPU cores."),
  gauge("machine_memory_bytes", "Amount of memory installed on the machine."),
];

function counter(name: string, help: string): FamilyHead {
  return { name, type: "counter", help };
}

function gauge(name: string, help: string): FamilyHead {
  return { name, type: "gauge", help };
}
