import type { Node, Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { judgeAdmission, type AdmissionInput } from "./admission.ts";

const node: Node = {
  metadata: { name: "n", labels: { disk: "ssd" } },
  spec: {},
  status: { allocatable: { cpu: "2", memory: "4Gi", pods: "3", "example.com/gpu": "1" } },
};
const asking = (requests: Record<string, string>): Partial<PodSpec> => ({
  containers: [{ name: "c", image: "i", resources: { requests } }],
});
const port = (hostPort: number, hostIP?: string): Partial<PodSpec> => ({
  containers: [{ name: "c", image: "i", ports: [{ containerPort: 80, hostPort, ...(hostIP ? { hostIP } : {}) }] }],
});
const podOf = (spec: Partial<PodSpec> = {}, more: Partial<Pod> = {}): Pod => ({
  metadata: { name: "p" },
  spec: { containers: [{ name: "c", image: "i" }], ...spec },
  ...more,
});
const judged = (pod: Pod, given: Partial<AdmissionInput> = {}): string | undefined => {
  const rejection = judgeAdmission({
    pod,
    node,
    others: [],
    allowedUnsafeSysctls: [],
    appArmor: false,
    pressures: [],
    ...given,
  });
  return rejection && `${rejection.reason}: ${rejection.message}`;
};

test("what fits is taken, to the last millicore", () => {
  expect(
    judged(podOf(asking({ cpu: "1500m", memory: "3Gi" })), { others: [podOf(asking({ cpu: "500m", memory: "1Gi" }))] }),
  ).toBe(undefined);
  expect(judged(podOf(port(80)), { others: [podOf(port(81)), podOf(port(443))] })).toBe(undefined);
});

test.each<[string, Pod, Pod[], string]>([
  [
    "too much cpu",
    podOf(asking({ cpu: "1501m" })),
    [podOf(asking({ cpu: "500m" }))],
    "OutOfcpu: Node didn't have enough resource: cpu, requested: 1501, used: 500, capacity: 2000",
  ],
  [
    "too much memory",
    podOf(asking({ memory: "5Gi" })),
    [],
    "OutOfmemory: Node didn't have enough resource: memory, requested: 5368709120, used: 0, capacity: 4294967296",
  ],
  [
    "one pod too many",
    podOf(),
    [podOf(), podOf(), podOf()],
    "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
  ],
  [
    "a device that is taken",
    podOf(asking({ "example.com/gpu": "1" })),
    [podOf(asking({ "example.com/gpu": "1" }))],
    "OutOfexample.com/gpu: Node didn't have enough resource: example.com/gpu, requested: 1, used: 1, capacity: 1",
  ],
  [
    "another disk",
    podOf({ nodeSelector: { disk: "hdd" } }),
    [],
    "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
  ],
  [
    "a taken port",
    podOf(port(80)),
    [podOf(port(80, "198.51.100.1"))],
    "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
  ],
  [
    "another system",
    podOf({ os: { name: "windows" } }),
    [],
    "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS",
  ],
  [
    "an unsafe sysctl",
    podOf({ securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] } }),
    [],
    'SysctlForbidden: forbidden sysctl: "kernel.msgmax" not allowlisted',
  ],
  [
    "a sysctl of the host's network",
    podOf({ hostNetwork: true, securityContext: { sysctls: [{ name: "net.ipv4.tcp_syncookies", value: "1" }] } }),
    [],
    'SysctlForbidden: forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled',
  ],
  [
    "groups of the image's that must not count",
    podOf({ securityContext: { supplementalGroupsPolicy: "Strict" } }),
    [],
    "SupplementalGroupsPolicyNotSupported: SupplementalGroupsPolicy=Strict is not supported in this node",
  ],
])("refused: %s", (_name, pod, others, why) => {
  expect(judged(pod, { others })).toBe(why);
});

test("what the cluster knows and the node does not is not the node's to judge", () => {
  expect(judged(podOf(asking({ "example.com/quota": "7" })))).toBe(undefined);
});

test("sysctls that the node's owner allows", () => {
  const pod = podOf({ securityContext: { sysctls: [{ name: "net/core/somaxconn", value: "1" }] } });
  expect(judged(pod, { allowedUnsafeSysctls: ["net.core.*"] })).toBe(undefined);
});

test("a NoExecute taint keeps all away but those who tolerate it, and static pods", () => {
  const tainted = { ...node, spec: { taints: [{ key: "k", value: "v", effect: "NoExecute" }] } };
  const why = "TaintToleration: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate";
  expect(judged(podOf(), { node: tainted })).toBe(why);
  expect(judged(podOf({ tolerations: [{ operator: "Exists" }] }), { node: tainted })).toBe(undefined);
  const annotations = { "kubernetes.io/config.source": "file" };
  expect(judged(podOf({}, { metadata: { name: "s", annotations } }), { node: tainted })).toBe(undefined);
});

test("while memory runs short only who asked for some is taken; while the disk does nobody but the critical", () => {
  const best = podOf({}, { status: { qosClass: "BestEffort" } });
  const burst = podOf({}, { status: { qosClass: "Burstable" } });
  const critical = podOf({ priority: 2_000_001_000 }, { status: { qosClass: "BestEffort" } });
  expect(judged(best, { pressures: ["MemoryPressure"] })).toBe("Evicted: The node had condition: [MemoryPressure]. ");
  expect(judged(burst, { pressures: ["MemoryPressure"] })).toBe(undefined);
  expect(judged(burst, { pressures: ["DiskPressure"] })).toBe("Evicted: The node had condition: [DiskPressure]. ");
  expect(judged(critical, { pressures: ["DiskPressure", "MemoryPressure"] })).toBe(undefined);
});

test("a machine without AppArmor takes nobody who relies on it", () => {
  const shared = (type: string): Pod => podOf({ securityContext: { appArmorProfile: { type } } });
  const own = (type: string): Pod =>
    podOf({ initContainers: [{ name: "c", securityContext: { appArmorProfile: { type } } }] });
  const refused = "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host";
  for (const of of [shared, own]) {
    expect(["Localhost", "RuntimeDefault", "Unconfined"].map((type) => judged(of(type)))).toEqual([
      refused,
      refused,
      undefined,
    ]);
    expect(judged(of("Localhost"), { appArmor: true })).toBeUndefined();
  }
});
