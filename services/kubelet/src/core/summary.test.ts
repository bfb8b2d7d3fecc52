import type { Pod } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { cadvisorMetrics } from "./cadvisor-metrics.ts";
import { cgroupUsage, interfacesOf } from "./cgroup-usage.ts";
import { resourceMetrics } from "./resource-metrics.ts";
import { statsSummary, type StatsReading } from "./summary.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const NET_DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:    1500      10    1    2    0     0          0         0     2500      20    3    4    0     0       0          0
`;

const fs = { capacityBytes: 100 * GIB, availableBytes: 40 * GIB, inodes: 1_000, inodesFree: 600 };
const labels = { "io.kubernetes.pod.uid": "u", "io.kubernetes.container.name": "c" };
const stats = {
  id: "1",
  labels,
  atMs: 20_000,
  cpuUsageNs: 3e9,
  memoryWorkingSetBytes: MIB,
  diskUsedBytes: 7,
  diskInodes: 1,
};
const pod: Pod = {
  metadata: { name: "a", namespace: "default", uid: "u" },
  spec: {
    containers: [
      { name: "c", image: "web:1", resources: { requests: { cpu: "100m" }, limits: { cpu: "500m", memory: "64Mi" } } },
    ],
  },
  status: {
    startTime: "1970-01-01T00:00:04Z",
    containerStatuses: [
      {
        name: "c",
        containerID: "containerd://1",
        state: { running: { startedAt: "1970-01-01T00:00:05Z" } },
        ready: true,
        restartCount: 0,
        image: "",
        imageID: "",
      },
    ],
  },
};
const usage = cgroupUsage(1, [
  "3145728\n",
  "cache 5\ntotal_rss 2097152\ntotal_cache 1048576\ntotal_pgfault 9\ntotal_pgmajfault 2\n",
  "nr_periods 10\nnr_throttled 4\nthrottled_time 1500000000\n",
  "3\n",
]);
const machine = {
  atMs: 20_000,
  cpuUsageNs: 4e9,
  bootedAtMs: 0,
  memoryCapacityBytes: 8 * GIB,
  memoryAvailableBytes: 4 * GIB,
  processes: 100,
  maxProcesses: 32_768,
  nodeFs: fs,
  imageFs: fs,
};
const reading: StatsReading = {
  nodeName: "n",
  cpus: 2,
  machine,
  machineBefore: { ...machine, atMs: 10_000, cpuUsageNs: 2e9 },
  pods: [pod],
  containers: [stats],
  containersBefore: new Map([["1", { ...stats, atMs: 10_000, cpuUsageNs: 1e9 }]]),
  images: undefined,
  network: interfacesOf(NET_DEV),
  networks: new Map([["u", interfacesOf(NET_DEV)]]),
  volumes: new Map([
    [
      "u",
      [
        { name: "data", usedBytes: 1_000, inodesUsed: 5, fs, onDisk: true },
        { name: "token", usedBytes: 10, inodesUsed: 3, fs, onDisk: false },
      ],
    ],
  ]),
  cgroups: new Map([["1", usage]]),
  logBytes: new Map([["1", 500]]),
};

test("metrics-server and Prometheus read what is used", () => {
  expect(statsSummary(reading)).toMatchObject({
    node: { nodeName: "n", cpu: { usageNanoCores: 2e8 }, memory: { workingSetBytes: 4 * GIB } },
    pods: [
      {
        podRef: { name: "a", namespace: "default", uid: "u" },
        cpu: { usageNanoCores: 2e8, usageCoreNanoSeconds: 3e9 },
        containers: [{ name: "c", startTime: "1970-01-01T00:00:05Z", memory: { workingSetBytes: MIB } }],
      },
    ],
  });
  expect(resourceMetrics(reading).split("\n")).toEqual(
    expect.arrayContaining([
      "# TYPE container_cpu_usage_seconds_total counter",
      'container_cpu_usage_seconds_total{container="c",namespace="default",pod="a"} 3 20000',
      'container_start_time_seconds{container="c",namespace="default",pod="a"} 5',
      `pod_memory_working_set_bytes{namespace="default",pod="a"} ${MIB} 20000`,
      "node_cpu_usage_seconds_total 4 20000",
      "resource_scrape_error 0",
    ]),
  );
});

test("the summary tells of networks, volumes and logs; what a pod takes of the disk is all of them but what lies in memory", () => {
  const { node, pods } = statsSummary(reading) as { node: object; pods: object[] };
  const eth0 = { name: "eth0", rxBytes: 1500, rxErrors: 1, txBytes: 2500, txErrors: 3 };
  expect(node).toMatchObject({ network: { ...eth0, interfaces: [eth0] } });
  expect(pods[0]).toMatchObject({
    network: { ...eth0, interfaces: [eth0] },
    volume: [
      { name: "data", usedBytes: 1_000, inodesUsed: 5, capacityBytes: 100 * GIB },
      { name: "token", usedBytes: 10 },
    ],
    containers: [
      {
        rootfs: { usedBytes: 7, inodesUsed: 1, capacityBytes: 100 * GIB },
        logs: { usedBytes: 500 },
        memory: { workingSetBytes: MIB, usageBytes: 3 * MIB, rssBytes: 2 * MIB, majorPageFaults: 2 },
      },
    ],
    "ephemeral-storage": { usedBytes: 7 + 500 + 1_000, inodesUsed: 1 + 5 },
    process_stats: { process_count: 3 },
  });
});

test("dashboards find what they know from cAdvisor", () => {
  const id = "/r/kubepods/burstable/podu";
  const own = `container="c",id="${id}/1",image="web:1",name="1",namespace="default",pod="a"`;
  const whole = `container="",id="${id}",image="",name="",namespace="default",pod="a"`;
  expect(cadvisorMetrics(reading, "/r").split("\n")).toEqual(
    expect.arrayContaining([
      "# TYPE container_cpu_usage_seconds_total counter",
      `container_cpu_usage_seconds_total{${own},cpu="total"} 3 20000`,
      `container_cpu_usage_seconds_total{${whole},cpu="total"} 3 20000`,
      `container_memory_working_set_bytes{${own}} ${MIB} 20000`,
      `container_memory_rss{${own}} ${2 * MIB} 20000`,
      `container_memory_cache{${own}} ${MIB} 20000`,
      `container_cpu_cfs_throttled_seconds_total{${own}} 1.5 20000`,
      `container_network_receive_bytes_total{${whole},interface="eth0"} 1500 20000`,
      `container_network_transmit_packets_dropped_total{${whole},interface="eth0"} 4 20000`,
      `container_spec_memory_limit_bytes{${own}} ${64 * MIB} 20000`,
      `container_spec_cpu_quota{${own}} 50000 20000`,
      "machine_cpu_cores 2",
    ]),
  );
});

test("v2's files say the same in other words", () => {
  const found = cgroupUsage(2, [
    "3145728\n",
    "anon 2097152\nfile 1048576\npgfault 9\npgmajfault 2\n",
    "usage_usec 1\nnr_periods 10\nnr_throttled 4\nthrottled_usec 1500000\n",
    "3\n",
  ]);
  expect(found).toEqual(usage);
});
