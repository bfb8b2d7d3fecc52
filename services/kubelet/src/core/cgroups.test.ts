import type { Container, Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import { assert, integer, option, property, record, type Arbitrary } from "fast-check";
import { expect, test } from "vitest";
import {
  cgroupFiles,
  podCgroup,
  podLimits,
  podsLimits,
  qosLimits,
  weightOf,
  widest,
  type CgroupLimits,
} from "./cgroups.ts";

const MIB = 2 ** 20;
const container = (requests: string, limits = ""): Container => {
  const amounts = (text: string): Record<string, string> =>
    Object.fromEntries(
      text
        .split("/")
        .map((amount, index) => [["cpu", "memory"][index] ?? "", amount])
        .filter(([, amount]) => amount !== "" && amount !== "-"),
    );
  return { name: "c", image: "i", resources: { requests: amounts(requests), limits: amounts(limits) } };
};
const pod = (containers: Container[], spec: Partial<PodSpec> = {}): Pod => ({
  metadata: { name: "a", namespace: "default", uid: "u" },
  spec: { containers, ...spec },
});

test("a pod lies where its class of service is, under the names of upstream's cgroupfs driver", () => {
  expect(podCgroup(pod([container("1/1Gi", "1/1Gi")]), "/root")).toBe("/root/kubepods/podu");
  expect(podCgroup(pod([container("100m/-")]), "/root")).toBe("/root/kubepods/burstable/podu");
  expect(podCgroup(pod([container("")]), "")).toBe("/kubepods/besteffort/podu");
});

test.each<[string, Pod, Partial<CgroupLimits>]>([
  [
    "guaranteed: all of it",
    pod([container("1/1Gi", "1/1Gi")]),
    { cpuShares: 1024, cpuQuotaUs: 100_000, memoryBytes: 1024 * MIB },
  ],
  [
    "best effort: the least weight",
    pod([container("")]),
    { cpuShares: 2, cpuQuotaUs: undefined, memoryBytes: undefined },
  ],
  [
    "burstable: the sum of what was asked for",
    pod([container("100m/-"), container("150m/-")]),
    { cpuShares: 256, cpuQuotaUs: undefined },
  ],
  [
    "limited only if every container is",
    pod([container("100m/-", "1/64Mi"), container("100m/-", "-/64Mi")]),
    { cpuQuotaUs: undefined, memoryBytes: 128 * MIB },
  ],
  [
    "an init container without a limit counts too",
    pod([container("100m/-", "1/64Mi")], { initContainers: [container("1/-")] }),
    { cpuShares: 1024, cpuQuotaUs: undefined, memoryBytes: undefined },
  ],
  [
    "overhead is the pod's",
    pod([container("100m/-", "500m/64Mi")], { overhead: { cpu: "100m", memory: "16Mi" } }),
    { cpuShares: 204, cpuQuotaUs: 60_000, memoryBytes: 80 * MIB },
  ],
  [
    "what the pod says as a whole goes first",
    pod([container("100m/-")], { resources: { requests: { cpu: "2" }, limits: { cpu: "3", memory: "1Gi" } } }),
    { cpuShares: 2048, cpuQuotaUs: 300_000, memoryBytes: 1024 * MIB },
  ],
  ["no quota below a millisecond", pod([container("1m/-", "1m/-")]), { cpuShares: 2, cpuQuotaUs: 1_000 }],
])("%s", (_, given, limits) => {
  expect(podLimits(given, 0)).toMatchObject(limits);
});

test("processes are limited only where the node says so", () => {
  expect([podLimits(pod([container("")]), 0).pids, podLimits(pod([container("")]), 100).pids]).toEqual([
    undefined,
    100,
  ]);
});

test("a class weighs what its pods ask for, best effort nothing; all pods together have what the node gives away", () => {
  const pods = [
    pod([container("1/-")]),
    pod([container("500m/-")]),
    pod([container("")]),
    pod([container("4/1Gi", "4/1Gi")]),
  ];
  expect(qosLimits("Burstable", pods).cpuShares).toBe(1536);
  expect(qosLimits("Burstable", []).cpuShares).toBe(2);
  expect(qosLimits("BestEffort", pods).cpuShares).toBe(2);
  expect(podsLimits({ milliCpu: 1_900, memoryBytes: 7 })).toEqual({
    cpuShares: 1945,
    cpuQuotaUs: undefined,
    memoryBytes: 7,
    pids: undefined,
  });
});

test("the same limits as files of v1 and of v2", () => {
  const some = { cpuShares: 1024, cpuQuotaUs: 50_000, memoryBytes: 64 * MIB, pids: 100 };
  const none = { cpuShares: 2, cpuQuotaUs: undefined, memoryBytes: undefined, pids: undefined };
  const written = (version: 1 | 2, limits: CgroupLimits): readonly string[] =>
    cgroupFiles(version, limits).map(({ controller, name, value }) => `${controller}/${name} ${value}`);
  expect(written(1, some)).toEqual([
    "cpu/cpu.shares 1024",
    "cpu/cpu.cfs_period_us 100000",
    "cpu/cpu.cfs_quota_us 50000",
    "memory/memory.limit_in_bytes 67108864",
    "pids/pids.max 100",
  ]);
  expect(written(1, none).slice(2)).toEqual([
    "cpu/cpu.cfs_quota_us -1",
    "memory/memory.limit_in_bytes -1",
    "pids/pids.max max",
  ]);
  expect(written(2, some)).toEqual([
    "cpu/cpu.weight 100",
    "cpu/cpu.max 50000 100000",
    "memory/memory.max 67108864",
    "pids/pids.max 100",
  ]);
  expect(written(2, none)).toEqual([
    "cpu/cpu.weight 1",
    "cpu/cpu.max max 100000",
    "memory/memory.max max",
    "pids/pids.max max",
  ]);
});

test("weights grow with shares, from one to ten thousand", () => {
  expect([0, 2, 1024, 262_144, 1_000_000].map(weightOf)).toEqual([1, 1, 100, 10_000, 10_000]);
  assert(
    property(integer({ min: 2, max: 262_143 }), (shares) => {
      expect(weightOf(shares)).toBeLessThanOrEqual(weightOf(shares + 1));
    }),
  );
});

test("the widest of two limits has room for both, and is no wider than one of them", () => {
  const amount = option(integer({ min: 1, max: 1_000 }), { nil: undefined });
  const limits: Arbitrary<CgroupLimits> = record({
    cpuShares: integer({ min: 2, max: 1_000 }),
    cpuQuotaUs: amount,
    memoryBytes: amount,
    pids: amount,
  });
  assert(
    property(limits, limits, (a, b) => {
      const both = widest(a, b);
      for (const key of ["cpuShares", "cpuQuotaUs", "memoryBytes", "pids"] as const) {
        const room = (limit: number | undefined): number => limit ?? Number.POSITIVE_INFINITY;
        expect(room(both[key])).toBe(Math.max(room(a[key]), room(b[key])));
      }
    }),
  );
});
