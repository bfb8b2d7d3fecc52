/** A node for tests: a real containerd in a network namespace of its own, the kubelet in this process, the API in memory. */
import { mkdir } from "node:fs/promises";
import type { ContainerStatus, Pod, PodSpec, PodStatus } from "@pilothouse/api/types/core-v1";
import { createApiClient, resources, type ApiClient } from "@pilothouse/client";
import { memoryApiserver, type MemoryApiserver } from "@pilothouse/client/memory";
import { systemClock, systemIds, systemRandom } from "@pilothouse/clock/system";
import { Scope } from "@pilothouse/lifecycle";
import type { Runtime } from "@pilothouse/runtime";
import { criRuntime } from "@pilothouse/runtime-cri";
import { memoryTelemetry, type MemoryTelemetry } from "@pilothouse/telemetry/memory";
import { startContainerd, type Containerd } from "../../../test/harness/containerd.ts";
import { until } from "../../../test/harness/index.ts";
import { machineCgroups } from "./adapters/cgroups.ts";
import { nodeFiles } from "./adapters/files.ts";
import { logFiles } from "./adapters/log-files.ts";
import { machineFacts, machineProbe } from "./adapters/machine.ts";
import { networkProbe } from "./adapters/network-probe.ts";
import { start, type KubeletService } from "./service.ts";

export const WEB = "pilothouse.local/web:latest";
export const TOOLBOX = "pilothouse.local/toolbox:latest";
const NODE = "node-1";

export class TestNode {
  readonly containerd: Containerd;
  readonly runtime: Runtime;
  readonly api: MemoryApiserver;
  readonly client: ApiClient;
  readonly telemetry: MemoryTelemetry;
  #scope: Scope | undefined;
  #kubelet: KubeletService | undefined;

  private constructor(containerd: Containerd) {
    const { socketPath, directory } = containerd;
    this.containerd = containerd;
    this.runtime = criRuntime({ clock: systemClock, ids: systemIds, socketPath, pipesDir: `${directory}/pipes` });
    this.api = memoryApiserver({ clock: systemClock, ids: systemIds });
    this.client = createApiClient({ transports: [this.api.transport], userAgent: "test" });
    this.telemetry = memoryTelemetry({ clock: systemClock, random: systemRandom });
  }

  static async start(): Promise<TestNode> {
    const node = new TestNode(await startContainerd());
    await node.startKubelet();
    return node;
  }

  get kubelet(): KubeletService {
    if (!this.#kubelet) throw new Error("the kubelet does not run");
    return this.#kubelet;
  }

  /** Owns what the running kubelet opens. */
  get scope(): Scope {
    if (!this.#scope) throw new Error("the kubelet does not run");
    return this.#scope;
  }

  async startKubelet(): Promise<void> {
    const { directory, cgroupParent: cgroupRoot } = this.containerd;
    const { client, runtime, telemetry } = this;
    const rootDir = `${directory}/kubelet`;
    await mkdir(rootDir, { recursive: true });
    const scope = new Scope("kubelet", (task, error) => telemetry.log.error(task, { error }));
    const ports = {
      clock: systemClock,
      random: systemRandom,
      client,
      runtime,
      telemetry,
      scope,
      files: nodeFiles({ rootDir, resolvConf: "/dev/null", logLinksDir: `${directory}/containers` }),
      cgroups: machineCgroups(),
      machine: machineProbe(systemClock, rootDir, async () => (await runtime.imageFsInfo()).mountpoint),
      network: networkProbe(systemClock),
      logs: logFiles(systemClock),
      writeCniConfig: () => Promise.resolve(),
    };
    this.#scope = scope;
    this.#kubelet = start(ports, {
      nodeName: NODE,
      nodeIp: "198.51.100.1",
      port: 10250,
      clusterDns: ["198.19.0.10"],
      clusterDomain: "cluster.local",
      cgroupRoot,
      logsDir: `${directory}/logs`,
      machine: await machineFacts(rootDir),
      bridgeName: "ph0",
      mtu: 1500,
      ipamDir: `${directory}/ipam`,
      registration: { labels: {}, taints: [] },
      apiServers: ["apiserver"],
    });
    await this.#kubelet.ready;
  }

  async restartKubelet(): Promise<void> {
    await this.scope.close();
    await this.startKubelet();
  }

  async stop(): Promise<void> {
    await this.scope.close();
    await this.runtime.close();
    await this.containerd.stop();
  }

  async createPod(name: string, spec: PodSpec): Promise<void> {
    const pod: Pod = {
      kind: "Pod",
      apiVersion: "v1",
      metadata: { name, namespace: "default" },
      spec: { nodeName: NODE, terminationGracePeriodSeconds: 2, ...spec },
    };
    await this.client.create(resources.pods, pod);
  }

  async deletePod(name: string): Promise<void> {
    await this.client.delete(resources.pods, "default", name);
    await until(`${name} is gone`, () => this.api.peek("pods", `default/${name}`) === undefined, 15_000);
  }

  status(name: string): PodStatus | undefined {
    return this.api.peek("pods", `default/${name}`)?.status as PodStatus | undefined;
  }

  container(pod: string, container: string): ContainerStatus | undefined {
    return this.status(pod)?.containerStatuses?.find((it) => it.name === container);
  }

  containerId(pod: string, container: string): string {
    return this.container(pod, container)?.containerID?.replace("containerd://", "") ?? "";
  }

  async untilReady(name: string): Promise<void> {
    const isReady = (): boolean =>
      this.status(name)?.conditions?.some((it) => it.type === "Ready" && it.status === "True") ?? false;
    await until(`${name} is ready`, isReady, 15_000);
  }

  /** What a shell command in the container prints. */
  async output(pod: string, container: string, command: string): Promise<string> {
    const { stdout } = await this.runtime.execSync(this.containerId(pod, container), ["sh", "-c", command], 5_000);
    return new TextDecoder().decode(stdout);
  }
}
