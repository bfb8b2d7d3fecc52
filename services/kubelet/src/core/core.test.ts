import type { Container, NodeStatus, Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { goDuration, nextBackoff, remainingMs } from "./backoff.ts";
import { containerResources } from "./container-config.ts";
import { dnsWarnings, hostnameOf, hostsFile, kernelHostname, podDns } from "./dns.ts";
import { environmentOf, expand, expandSubPath, type PodSources } from "./environment.ts";
import { isTold, nodeConditions, nodeStatus, parseRegistration, withExtended } from "./node.ts";
import { initialState, observe } from "./probes.ts";
import { decodeFrame } from "./remote-command.ts";
import { planVolume, type VolumeSources } from "./volumes.ts";

const MINUTE = 60_000;
const nothing: VolumeSources = {
  claimed: () => undefined,
  token: () => undefined,
  configMap: () => undefined,
  secret: () => undefined,
};
const where = {
  nodeName: "n",
  hostIp: "198.51.100.1",
  podIps: ["198.18.0.2"],
  allocatable: { cpu: "2", memory: "4Gi" },
};

test("back-off doubles from ten seconds to five minutes, and is forgotten after ten minutes of peace", () => {
  let backoff = nextBackoff(undefined, 0, 0);
  const delays = [backoff.delayMs];
  for (let i = 0; i < 6; i++) {
    backoff = nextBackoff(backoff, backoff.sinceMs + 1, backoff.sinceMs + backoff.delayMs);
    delays.push(backoff.delayMs);
  }
  expect(delays).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  expect(remainingMs(backoff, backoff.sinceMs + MINUTE, backoff.sinceMs + 2 * MINUTE)).toBe(4 * MINUTE);
  expect(remainingMs(backoff, backoff.sinceMs + 11 * MINUTE, backoff.sinceMs + 11 * MINUTE)).toBe(0);
  expect(nextBackoff(backoff, backoff.sinceMs + 11 * MINUTE, 0).delayMs).toBe(10_000);
  expect([10_000, 80_000, 300_000].map(goDuration)).toEqual(["10s", "1m20s", "5m0s"]);
});

test("a verdict changes once the threshold of equal outcomes is reached", () => {
  const probe = { successThreshold: 2, failureThreshold: 3 };
  const verdicts = [true, false, true, true, false, false, true, false, false, false].reduce(
    ({ state, seen }, outcome) => {
      const next = observe(state, probe, outcome);
      return { state: next, seen: [...seen, next.verdict[0]] };
    },
    { state: initialState("readiness"), seen: [] as (string | undefined)[] },
  );
  expect(verdicts.seen.join("")).toBe("fffssssssf");
});

test("$(NAME) is expanded where it has a value, and $$ is a dollar", () => {
  const lookup = (name: string): string | undefined => ({ A: "1", B: "" })[name];
  expect(expand("$(A) $(B)| $(C) $$(A) $$$(A) $A $(", lookup)).toBe("1 | $(C) $(A) $1 $A $(");
});

test("a part of a volume waits until each of its variables has a value", () => {
  const env = new Map([
    ["A", "x"],
    ["B", ""],
  ]);
  expect(expandSubPath("$(A)/$$(B)", env)).toBe("x/$(B)");
  expect(() => expandSubPath("$(C)/$(A)/$(B)", env)).toThrow("missing value for B, C");
});

test("what the kernel calls a pod: its name, its full name if it wants that, or another altogether", () => {
  const named = { ...pod({ hostname: "web", subdomain: "shop", containers: [] }) };
  const full = { ...named, spec: { ...named.spec, setHostnameAsFQDN: true } };
  expect([kernelHostname(named, "local"), kernelHostname(full, "local")]).toEqual(["web", "web.shop.shop.svc.local"]);
  const long = { ...full, spec: { ...full.spec, hostname: "w".repeat(50) } };
  expect(() => kernelHostname(long, "local")).toThrow(
    "is too long (64 characters is the max, 70 characters requested)",
  );
  const other = { ...full, spec: { ...full.spec, hostnameOverride: "elsewhere" } };
  expect([kernelHostname(other, "local"), hostnameOf(other, "local").fqdn]).toEqual(["elsewhere", undefined]);
});

test("a token belongs to the one user that reads it, and memory volumes are no larger than their pod", () => {
  const source = { serviceAccountToken: { path: "token", expirationSeconds: 600 } };
  const volume = { name: "v", projected: { sources: [source], defaultMode: 0o644 } };
  const sources = { ...nothing, token: () => "t" };
  const fileOf = (spec: Partial<PodSpec>): unknown => {
    const plan = planVolume(pod({ containers: [{ name: "c" }], ...spec }), volume, sources, where);
    return plan.kind === "files" && plan.files.map(({ mode, uid }) => [mode, uid]);
  };
  expect(fileOf({})).toEqual([[0o644, undefined]]);
  expect(fileOf({ securityContext: { runAsUser: 1000 } })).toEqual([[0o600, 1000]]);
  expect(fileOf({ securityContext: { fsGroup: 7 } })).toEqual([[0o600, undefined]]);
  const limited = pod({ containers: [{ name: "c", resources: { limits: { memory: "1Mi" } } }] });
  const memory = (sizeLimit?: string): unknown =>
    planVolume(
      limited,
      { name: "m", emptyDir: { medium: "Memory", ...(sizeLimit ? { sizeLimit } : {}) } },
      sources,
      where,
    );
  expect([memory(), memory("64Ki"), memory("1Gi")]).toMatchObject([
    { sizeBytes: 2 ** 20 },
    { sizeBytes: 2 ** 16 },
    { sizeBytes: 2 ** 20 },
  ]);
});

test("the environment: Services, then envFrom, then env, each seeing those before it", () => {
  const services = [
    {
      metadata: { name: "kubernetes", namespace: "default" },
      spec: { clusterIP: "198.19.0.1", ports: [{ port: 443, name: "https" }] },
    },
    { metadata: { name: "my-db", namespace: "shop" }, spec: { clusterIP: "198.19.0.7", ports: [{ port: 5432 }] } },
    { metadata: { name: "other", namespace: "else" }, spec: { clusterIP: "198.19.0.8", ports: [{ port: 1 }] } },
  ];
  const container: Container = {
    name: "c",
    envFrom: [{ prefix: "P_", configMapRef: { name: "settings" } }],
    env: [
      { name: "URL", value: "pg://$(MY_DB_SERVICE_HOST):$(MY_DB_SERVICE_PORT)/$(P_DB)" },
      { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "1m" } } },
      { name: "MEM", valueFrom: { resourceFieldRef: { resource: "requests.memory", divisor: "1Mi" } } },
    ],
    resources: { requests: { memory: "100Mi" } },
  };
  const sources: PodSources = { ...nothing, configMap: () => ({ metadata: {}, data: { DB: "shop" } }) };
  const env = environmentOf({
    pod: pod({ containers: [container] }),
    container,
    sources,
    services,
    whereabouts: where,
  });
  expect(env.get("URL")).toBe("pg://198.19.0.7:5432/shop");
  expect([env.get("IP"), env.get("CPU"), env.get("MEM")]).toEqual(["198.18.0.2", "2000", "100"]);
  expect(env.get("KUBERNETES_SERVICE_HOST")).toBe("198.19.0.1");
  expect(env.get("KUBERNETES_SERVICE_PORT_HTTPS")).toBe("443");
  expect(env.has("OTHER_SERVICE_HOST")).toBe(false);
});

test("limits and requests as the kernel counts them", () => {
  const of = (resources: NonNullable<Container["resources"]>): object =>
    containerResources(pod({ containers: [] }), { name: "c", resources }, 8 * 2 ** 30);
  expect(of({ limits: { cpu: "500m", memory: "64Mi" }, requests: { cpu: "250m", memory: "64Mi" } })).toEqual({
    cpuPeriodUs: 100_000,
    cpuQuotaUs: 50_000,
    cpuShares: 256,
    memoryLimitBytes: 67_108_864,
    oomScoreAdj: 993,
  });
  expect(of({})).toEqual({ cpuPeriodUs: 0, cpuQuotaUs: 0, cpuShares: 2, memoryLimitBytes: 0, oomScoreAdj: 1000 });
});

test("names are resolved by the cluster first, unless the pod says otherwise", () => {
  const cluster = { servers: ["198.19.0.10"], domain: "cluster.local" };
  const host = { servers: ["192.0.2.1"], searches: ["example.org"], options: ["timeout:2"] };
  expect(podDns(pod({ containers: [] }), cluster, host)).toEqual({
    servers: ["198.19.0.10"],
    searches: ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org"],
    options: ["ndots:5"],
  });
  expect(podDns(pod({ containers: [], dnsPolicy: "Default" }), cluster, host)).toEqual(host);
  expect(podDns(pod({ containers: [], hostNetwork: true }), cluster, host)).toEqual(host);
  const dnsConfig = {
    nameservers: ["192.0.2.9"],
    searches: ["x.y"],
    options: [{ name: "ndots", value: "2" }, { name: "edns0" }],
  };
  expect(podDns(pod({ containers: [], dnsPolicy: "None", dnsConfig }), cluster, host)).toEqual({
    servers: ["192.0.2.9"],
    searches: ["x.y"],
    options: ["ndots:2", "edns0"],
  });
  const many = { containers: [], dnsConfig: { nameservers: ["192.0.2.2", "192.0.2.3", "192.0.2.4"] } };
  expect(podDns(pod(many), cluster, host).servers).toEqual(["198.19.0.10", "192.0.2.2", "192.0.2.3"]);
  expect([dnsWarnings(pod({ containers: [] }), cluster, host), dnsWarnings(pod(many), cluster, host)]).toEqual([
    [],
    [expect.stringMatching(/^Nameserver limits were exceeded/)],
  ]);
});

test("the hosts file names the pod, its domain and its aliases", () => {
  const hostAliases = [{ ip: "192.0.2.5", hostnames: ["a", "b"] }];
  const text = hostsFile(pod({ containers: [], subdomain: "db", hostAliases }), ["198.18.0.2"], "cluster.local", "");
  expect(text).toContain("198.18.0.2\tp.db.shop.svc.cluster.local\tp\n");
  expect(text).toContain("# Entries added by HostAliases.\n192.0.2.5\ta\tb\n");
});

test("volumes of API objects: chosen keys, modes, and what is missing is said", () => {
  const volume = { name: "v", secret: { secretName: "s", items: [{ key: "k", path: "a/b", mode: 0o400 }] } };
  const sources = { ...nothing, token: () => undefined };
  const found = { ...sources, secret: () => ({ metadata: {}, data: { k: btoa("x") } }) };
  expect(planVolume(pod({ containers: [] }), volume, found, where)).toEqual({
    kind: "files",
    name: "v",
    files: [{ path: "a/b", mode: 0o400, content: new TextEncoder().encode("x") }],
  });
  expect(() => planVolume(pod({ containers: [] }), volume, sources, where)).toThrow('secret "s" not found');
  const empty = { ...sources, secret: () => ({ metadata: {}, data: {} }) };
  expect(() => planVolume(pod({ containers: [] }), volume, empty, where)).toThrow(
    "references non-existent secret key: k",
  );
});

test("a volume tells of an init container's resources as of any other's", () => {
  const resources = { limits: { memory: "64Mi" } };
  const init = { name: "init", image: "i", resources };
  const items = [{ path: "m", resourceFieldRef: { containerName: "init", resource: "limits.memory", divisor: "1Mi" } }];
  const asking = pod({ containers: [{ name: "c", image: "i" }], initContainers: [init] });
  const plan = planVolume(asking, { name: "v", downwardAPI: { items } }, { ...nothing, token: () => undefined }, where);
  const told = plan.kind === "files" ? plan.files.map(({ content }) => new TextDecoder().decode(content)) : [];
  expect(told).toEqual(["64"]);
});

test("no frame of a client's breaks the decoder", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (frame) => void decodeFrame(frame)));
  expect(decodeFrame(Uint8Array.of(255, 0))).toEqual({ kind: "closeStdin" });
  expect(decodeFrame(Uint8Array.of(255, 1))).toBeUndefined();
});

function pod(spec: Pod["spec"]): Pod {
  return { metadata: { name: "p", namespace: "shop", uid: "u" }, spec };
}

test("what a node shows is told when it covers what the machine says: others' additions and times do not count", () => {
  const machine = { cpus: 2, memoryBytes: 2 ** 34, diskBytes: 2 ** 40, maxPods: 110, architecture: "amd64" };
  const facts = { machineId: "m", bootId: "b", kernelVersion: "6", osImage: "Debian", hostname: "n" };
  const input = { nodeName: "n", nodeIp: "198.51.100.1", port: 10250, runtimeVersion: "containerd://1.6.20" };
  const say = (now: string): NodeStatus => {
    const runtime = [{ type: "RuntimeReady", ok: true, reason: "", message: "" }];
    const conditions = nodeConditions(runtime, [], now);
    return { ...nodeStatus({ ...input, machine: { ...machine, ...facts } }), conditions };
  };
  const own = say("2026-01-01T00:00:10Z");
  expect(own.capacity).toMatchObject({ memory: "16Gi", "ephemeral-storage": "1Ti" });
  const shown = say("2026-01-01T00:00:00Z");
  const gpu = { ...shown, capacity: { ...shown.capacity, "example.com/gpu": "1" } };
  const [first, ...others] = shown.conditions ?? [];
  const unknown = { ...shown, conditions: [{ type: "MemoryPressure", ...first, status: "Unknown" }, ...others] };
  const moved = { ...shown, addresses: [{ type: "InternalIP", address: "198.51.100.2" }] };
  expect([shown, gpu, unknown, moved, undefined].map((one) => isTold(one, own))).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});

test("what others give to the node is allocatable in full; what is Kubernetes' own is not theirs to give", () => {
  const own = { capacity: { cpu: "2" }, allocatable: { cpu: "1900m" } };
  const shown = { capacity: { cpu: "64", "example.com/device": "5", "scheduling.kubernetes.io/foo": "1" } };
  expect(withExtended(own, shown)).toEqual({
    capacity: { cpu: "2", "example.com/device": "5" },
    allocatable: { cpu: "1900m", "example.com/device": "5" },
  });
  expect(withExtended(own, undefined)).toBe(own);
});

test("labels and taints of a new node are read as upstream's kubelet reads them; what is not understood is quoted", () => {
  const { labels, taints } = parseRegistration(
    ["zone=a", "gpu="],
    ["node-role.kubernetes.io/control-plane:NoSchedule", "dedicated=db:NoExecute"],
  );
  expect(labels).toEqual({ zone: "a", gpu: "" });
  expect(taints).toEqual([
    { key: "node-role.kubernetes.io/control-plane", effect: "NoSchedule" },
    { key: "dedicated", value: "db", effect: "NoExecute" },
  ]);
  expect(() => parseRegistration(["zone"], [])).toThrow('--node-labels: "zone" is not key=value');
  expect(() => parseRegistration([], ["a=b:Never"])).toThrow('"a=b:Never" is not key=value:effect');
});

test("a claim is as good as the volume that it has, and says why it is none yet", () => {
  const pod: Pod = { metadata: { name: "web", namespace: "default" }, spec: { containers: [] } };
  const volume = { name: "data", persistentVolumeClaim: { claimName: "c" } };
  const claim = {
    metadata: { name: "c", uid: "u", annotations: { "pv.kubernetes.io/bind-completed": "yes" } },
    spec: { volumeName: "v" },
  };
  const held = { metadata: { name: "v" }, spec: { claimRef: { uid: "u" }, local: { path: "/disks/1" } } };
  const planned = (claimed: ReturnType<VolumeSources["claimed"]>): unknown => {
    try {
      return planVolume(pod, volume, { ...nothing, claimed: () => claimed }, where);
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(planned({ claim, volume: held })).toEqual({ kind: "host", name: "data", path: "/disks/1", type: "Directory" });
  const onHost = { ...held, spec: { ...held.spec, local: undefined, hostPath: { path: "/data" } } } as never;
  expect(planned({ claim, volume: onHost })).toEqual({ kind: "host", name: "data", path: "/data", type: "" });
  expect(planned(undefined)).toBe('persistentvolumeclaim "c" not found');
  expect(planned({ claim, volume: undefined })).toBe('PVC "c" is not bound');
  expect(planned({ claim: { ...claim, spec: {} }, volume: undefined })).toBe('PVC "c" is not bound');
  const anothers = { ...held, spec: { ...held.spec, claimRef: { uid: "another" } } };
  expect(planned({ claim, volume: anothers })).toBe('PV "v" is not bound to PVC "c"');
});
