import type { Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { HARD_THRESHOLDS, overItsLimits, pressuresTold, shortages, victimOf } from "./eviction.ts";
import { planImageGc } from "./image-gc.ts";
import { nodeConditions } from "./node.ts";
import type { MachineUsage } from "./usage.ts";

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const fs = { capacityBytes: 100 * GIB, availableBytes: 50 * GIB, inodes: 1_000, inodesFree: 500 };
const well: MachineUsage = {
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
const pod = (name: string, memory: string | undefined, spec: Partial<PodSpec> = {}): Pod => ({
  metadata: { name, namespace: "default", uid: name },
  spec: {
    containers: [{ name: "c", image: "i", ...(memory === undefined ? {} : { resources: { requests: { memory } } }) }],
    ...spec,
  },
});
const short = (usage: Partial<MachineUsage>): string[] =>
  shortages({ ...well, ...usage }, HARD_THRESHOLDS).map(({ threshold }) => threshold.signal);

test("a node runs short of what is below its threshold, and of nothing that it does not count", () => {
  expect(short({})).toEqual([]);
  expect(short({ memoryAvailableBytes: 99 * MIB })).toEqual(["memory.available"]);
  expect(short({ nodeFs: { ...fs, availableBytes: 9 * GIB }, imageFs: { ...fs, availableBytes: 14 * GIB } })).toEqual([
    "nodefs.available",
    "imagefs.available",
  ]);
  expect(short({ nodeFs: { ...fs, inodes: 0, inodesFree: 0 } })).toEqual([]);
});

test("who uses more than was asked for goes first, of these the least important, of these the greediest", () => {
  const [shortage] = shortages({ ...well, memoryAvailableBytes: 95 * MIB }, HARD_THRESHOLDS);
  const used = (mebibytes: number) => ({ memoryBytes: mebibytes * MIB, diskBytes: 0, inodes: 0 });
  const pods = [
    pod("modest", "200Mi"),
    pod("greedy", "50Mi"),
    pod("greedier", undefined),
    pod("important", undefined, { priority: 100 }),
    pod("critical", undefined, { priority: 2_000_001_000 }),
  ];
  const usage = new Map(pods.map((it) => [it.metadata.uid ?? "", used(150)]));
  const victim = shortage && victimOf(shortage, pods, usage);
  expect(victim?.pod.metadata.name).toBe("greedier");
  expect(victim?.message).toBe(
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 95Mi. " +
      "Container c was using 150Mi, request is 0, has larger consumption of memory. ",
  );
  expect(shortage && victimOf(shortage, [pods[0] as Pod, pods[3] as Pod], usage)?.pod.metadata.name).toBe("important");
  expect(shortage && victimOf(shortage, [pods[4] as Pod], usage)).toBeUndefined();
});

test("a pressure is told for five minutes after it was last felt", () => {
  const seen = new Map([["DiskPressure", 1_000] as const]);
  expect([pressuresTold(seen, 300_000), pressuresTold(seen, 301_000)]).toEqual([["DiskPressure"], []]);
  const ready = [{ type: "RuntimeReady", ok: true, reason: "", message: "" }];
  const told = nodeConditions(ready, [], "2026-01-01T00:00:00Z", ["DiskPressure"]);
  expect(told.map(({ type, status, reason }) => [type, status, reason])).toEqual([
    ["MemoryPressure", "False", "KubeletHasSufficientMemory"],
    ["DiskPressure", "True", "KubeletHasDiskPressure"],
    ["PIDPressure", "False", "KubeletHasSufficientPID"],
    ["Ready", "True", "KubeletReady"],
  ]);
});

test("a pod ends that fills a volume or a layer beyond its own limit", () => {
  const limited = pod("a", undefined, {
    volumes: [
      { name: "v", emptyDir: { sizeLimit: "1Mi" } },
      { name: "m", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
    ],
    containers: [{ name: "c", image: "i", resources: { limits: { "ephemeral-storage": "2Mi" } } }],
  });
  const judged = (v: number, c: number, podBytes = 0): string | undefined =>
    overItsLimits(limited, {
      volumeBytes: new Map([
        ["v", v],
        ["m", 9 * MIB],
      ]),
      containerBytes: new Map([["c", c]]),
      podBytes,
    });
  expect(judged(MIB, 2 * MIB)).toBeUndefined();
  expect(judged(MIB + 1, 0)).toBe('Usage of EmptyDir volume "v" exceeds the limit "1Mi". ');
  expect(judged(0, 2 * MIB + 1)).toBe('Container c exceeded its local ephemeral storage limit "2Mi". ');
  // A volume without a limit of its own counts as well.
  expect(judged(0, MIB, 2 * MIB + 1)).toBe(
    "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
  );
});

test("images go when the disk is full: the longest unused first, never one in use, too new, or that no registry has", () => {
  const image = (id: string, tag = `registry/${id}:1`) => ({
    id,
    repoTags: [tag],
    repoDigests: [],
    sizeBytes: GIB,
    username: "",
  });
  const images = [image("a"), image("b"), image("used"), image("new"), image("own", "pilothouse.local/web:latest")];
  const at = (usedMs: number, sinceMs = 0) => ({ sinceMs, usedMs });
  const seen = new Map([
    ["a", at(500)],
    ["b", at(100)],
    ["used", at(0)],
    ["new", at(0, 950_000)],
    ["own", at(0)],
  ]);
  const plan = (availableBytes: number, urgent = false): readonly string[] =>
    planImageGc({
      images,
      inUse: new Set(["used"]),
      seen,
      capacityBytes: 10 * GIB,
      availableBytes,
      nowMs: 1_000_000,
      urgent,
    });
  expect(plan(2 * GIB)).toEqual([]);
  expect(plan(1.4 * GIB)).toEqual(["b"]);
  expect(plan(0.5 * GIB)).toEqual(["b", "a"]);
  expect(plan(9 * GIB, true)).toEqual(["b", "a"]);
});
