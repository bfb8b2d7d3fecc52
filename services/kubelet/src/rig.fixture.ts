/** A kubelet for unit tests: the memory API server, the memory runtime, and time that stands still until it is moved. */
import { Readable } from "node:stream";
import type { Event, Pod, PodSpec, PodStatus } from "@pilothouse/api/types/core-v1";
import { createApiClient, resources, type ApiClient } from "@pilothouse/client";
import { memoryApiserver, type MemoryApiserver } from "@pilothouse/client/memory";
import { manualClock, type ManualClock } from "@pilothouse/clock/manual";
import { seededRandom, seededIds } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { memoryRuntime, type ImageScript, type MemoryRuntime } from "@pilothouse/runtime/memory";
import { memoryTelemetry, type MemoryTelemetry } from "@pilothouse/telemetry/memory";
import { memoryFiles, type MemoryFiles } from "./flows/memory-files.ts";
import type { CgroupLimits } from "./core/cgroups.ts";
import type { MachineUsage } from "./core/usage.ts";
import type { Cgroups, MachineProbe, ManifestFiles, ProbeOutcome } from "./flows/ports.ts";
import { start, type KubeletConfig } from "./service.ts";

export interface Rig {
  readonly clock: ManualClock;
  readonly api: MemoryApiserver;
  readonly client: ApiClient;
  readonly runtime: MemoryRuntime;
  readonly files: MemoryFiles;
  readonly telemetry: MemoryTelemetry;
  /** What network probes answer from now on. */
  network: ProbeOutcome;
  /** What the machine uses from now on; nobody looks at it unless it was there from the start. */
  usage: MachineUsage | undefined;
  /** Limits of cgroups by path. */
  readonly cgroups: Map<string, CgroupLimits>;
  /** What the kernel answers to changes of cgroups from now on. */
  cgroupError: Error | undefined;
  /** The node's manifests by path; the kubelet hears of a change by `wrote`. */
  readonly manifests: Map<string, string>;
  /** Says that manifests changed. */
  wrote(): Promise<void>;
  /** Ends the kubelet and starts another one on the same runtime. */
  restart(): Promise<void>;
  create(name: string, spec: Partial<PodSpec> & Pick<PodSpec, "containers">, metadata?: Pod["metadata"]): Promise<Pod>;
  /** The status as the API server has it. */
  status(name: string): PodStatus | undefined;
  /** What was told of a pod: `Normal Started: Container started`, each thing once. */
  events(name: string): readonly string[];
  close(): Promise<void>;
}

export const testConfig: KubeletConfig = {
  nodeName: "node-1",
  nodeIp: "198.51.100.1",
  port: 10250,
  clusterDns: ["198.19.0.10"],
  clusterDomain: "cluster.local",
  cgroupRoot: "/test",
  logsDir: "/logs",
  bridgeName: "ph0",
  mtu: 1500,
  ipamDir: "/ipam",
  registration: { labels: {}, taints: [] },
  machine: {
    cpus: 2,
    memoryBytes: 8 * 2 ** 30,
    diskBytes: 100 * 2 ** 30,
    maxPods: 110,
    architecture: "amd64",
    machineId: "m",
    bootId: "b",
    kernelVersion: "6",
    osImage: "Debian",
    hostname: "node-1",
  },
};

/** `more` is added to the configuration. */
export async function startRig(
  images: Readonly<Record<string, ImageScript>>,
  usage?: MachineUsage,
  more: Partial<KubeletConfig> = {},
): Promise<Rig> {
  const clock = manualClock();
  const random = seededRandom("kubelet");
  const ids = seededIds(random);
  const api = memoryApiserver({ clock, ids });
  const client = createApiClient({ transports: [api.transport], userAgent: "test" });
  const runtime = memoryRuntime({ clock, ids, images });
  const files = memoryFiles();
  const telemetry = memoryTelemetry({ clock, random });
  const startKubelet = async (): Promise<Scope> => {
    const scope = new Scope("kubelet", (task, error) => telemetry.log.error(task, { error }));
    const ask = (): Promise<ProbeOutcome> => Promise.resolve(rig.network);
    const network = { http: ask, tcp: ask, grpc: ask };
    const logs = { read: () => Readable.from([]) };
    const writeCniConfig = (): Promise<void> => Promise.resolve();
    const ports = {
      clock,
      random,
      client,
      runtime,
      files,
      cgroups: memoryCgroups,
      telemetry,
      network,
      logs,
      writeCniConfig,
      scope,
    };
    const machine: MachineProbe = {
      usage: () => Promise.resolve(rig.usage as MachineUsage),
      network: () => Promise.resolve([]),
      cgroup: () => Promise.resolve(undefined),
    };
    const found = { ...ports, manifests: manifestFiles };
    const { ready } = start(usage ? { ...found, machine } : found, { ...testConfig, ...more });
    await clock.advance(100);
    // Without an API it is not ready, and runs its own pods all the same.
    if (api.intercept === undefined) await ready;
    return scope;
  };
  const cgroups = new Map<string, CgroupLimits>();
  const memoryCgroups: Cgroups = {
    ensure(cgroup, limits) {
      if (rig.cgroupError) return Promise.reject(rig.cgroupError);
      cgroups.set(cgroup, limits);
      return Promise.resolve();
    },
    remove(cgroup) {
      cgroups.delete(cgroup);
      return Promise.resolve();
    },
  };
  const manifests = new Map<string, string>();
  const heard = new Set<() => void>();
  const manifestFiles: ManifestFiles = {
    read: () => {
      const sorted = [...manifests].toSorted(([a], [b]) => (a < b ? -1 : 1));
      return Promise.resolve(sorted.map(([path, text]) => ({ path, content: new TextEncoder().encode(text) })));
    },
    watch(changed) {
      heard.add(changed);
      return () => void heard.delete(changed);
    },
  };
  let kubelet: Scope;
  const rig: Rig = {
    clock,
    api,
    client,
    runtime,
    files,
    telemetry,
    network: { ok: true, detail: "" },
    usage,
    cgroups,
    cgroupError: undefined,
    manifests,
    async wrote() {
      for (const changed of heard) changed();
      await clock.advance(50);
    },
    async restart() {
      await kubelet.close();
      kubelet = await startKubelet();
    },
    async create(name, spec, metadata) {
      const pod: Pod = {
        kind: "Pod",
        apiVersion: "v1",
        metadata: { name, namespace: "default", ...metadata },
        spec: { nodeName: testConfig.nodeName, restartPolicy: "Always", ...spec },
      };
      const created = await client.create(resources.pods, pod);
      await clock.advance(50);
      return created;
    },
    status: (name) => api.peek("pods", `default/${name}`)?.status as PodStatus | undefined,
    events: (name) =>
      (api.list("events") as unknown as Event[])
        .filter(({ involvedObject }) => involvedObject.kind === "Pod" && involvedObject.name === name)
        .map(({ type, reason, message }) => `${type} ${reason}: ${message}`),
    close: () => kubelet.close(),
  };
  kubelet = await startKubelet();
  return rig;
}
