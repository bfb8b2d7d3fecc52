/** `/metrics/resource`: what containers, pods and the node use of cpu and memory, as metrics-server reads it. Pure. */
import { Exposition, type FamilyHead } from "./exposition.ts";
import { LABEL_CONTAINER_NAME, LABEL_POD_UID, uidOf } from "./pod-runtime.ts";
import { startOf, type StatsReading } from "./summary.ts";

/** In the text format of Prometheus, each sample with its time. */
export function resourceMetrics({ machine, pods, containers }: StatsReading): string {
  const byUid = new Map(pods.map((pod) => [uidOf(pod), pod]));
  const out = new Exposition(FAMILIES);
  const totals = new Map<string, { cpuNs: number; memoryBytes: number; atMs: number }>();
  for (const stats of containers) {
    const pod = byUid.get(stats.labels[LABEL_POD_UID] ?? "");
    if (!pod) continue;
    const { name = "", namespace = "" } = pod.metadata;
    const labels = { container: stats.labels[LABEL_CONTAINER_NAME] ?? "", namespace, pod: name };
    out.add("container_cpu_usage_seconds_total", labels, stats.cpuUsageNs / 1e9, stats.atMs);
    out.add("container_memory_working_set_bytes", labels, stats.memoryWorkingSetBytes, stats.atMs);
    const started = startOf(pod, stats.id);
    if (started !== undefined) out.add("container_start_time_seconds", labels, Date.parse(started) / 1000);
    const total = totals.get(uidOf(pod)) ?? { cpuNs: 0, memoryBytes: 0, atMs: stats.atMs };
    total.cpuNs += stats.cpuUsageNs;
    total.memoryBytes += stats.memoryWorkingSetBytes;
    totals.set(uidOf(pod), total);
  }
  for (const [uid, { cpuNs, memoryBytes, atMs }] of totals) {
    const { name = "", namespace = "" } = byUid.get(uid)?.metadata ?? {};
    out.add("pod_cpu_usage_seconds_total", { namespace, pod: name }, cpuNs / 1e9, atMs);
    out.add("pod_memory_working_set_bytes", { namespace, pod: name }, memoryBytes, atMs);
  }
  const usedBytes = machine.memoryCapacityBytes - machine.memoryAvailableBytes;
  out.add("node_cpu_usage_seconds_total", {}, machine.cpuUsageNs / 1e9, machine.atMs);
  out.add("node_memory_working_set_bytes", {}, usedBytes, machine.atMs);
  out.add("resource_scrape_error", {}, 0);
  return out.text();
}

const FAMILIES: readonly FamilyHead[] = [
  counter("container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds"),
  gauge("container_memory_working_set_bytes", "Current working set of the container in bytes"),
  gauge("container_start_time_seconds", "Start time of the container since unix epoch in seconds"),
  counter("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds"),
  gauge("node_memory_working_set_bytes", "Current working set of the node in bytes"),
  counter("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds"),
  gauge("pod_memory_working_set_bytes", "Current working set of the pod in bytes"),
  gauge("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise"),
];

function counter(name: string, help: string): FamilyHead {
  return { name, type: "counter", help: `[STABLE] ${help}` };
}

function gauge(name: string, help: string): FamilyHead {
  return { name, type: "gauge", help: `[STABLE] ${help}` };
}
