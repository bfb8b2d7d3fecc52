import { mkdir, readdir } from "node:fs/promises";
import type { Pod, PodStatus } from "@pilothouse/api/types/core-v1";
import { createApiClient, resources, type ApiClient } from "@pilothouse/client";
import { memoryApiserver, type MemoryApiserver } from "@pilothouse/client/memory";
import { systemClock, systemIds, systemRandom } from "@pilothouse/clock/system";
import type { Runtime } from "@pilothouse/runtime";
import { criRuntime } from "@pilothouse/runtime-cri";
import { memoryTelemetry, type MemoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startContainerd, type Containerd } from "../../../test/harness/containerd.ts";
import { expectNoLeaks, until } from "../../../test/harness/index.ts";
import { nodeFiles } from "./adapters/files.ts";
import { machineFacts } from "./adapters/machine.ts";
import { networkProbe } from "./adapters/network-probe.ts";
import { start, type KubeletService } from "./service.ts";

const WEB = "pilothouse.local/web:latest";
const TOOLBOX = "pilothouse.local/toolbox:latest";
const NODE = "node-1";

let containerd: Containerd;
let runtime: Runtime;
let api: MemoryApiserver;
let client: ApiClient;
let kubelet: KubeletService;
let telemetry: MemoryTelemetry;

beforeAll(async () => {
  containerd = await startContainerd();
  const { socketPath, directory } = containerd;
  runtime = criRuntime({ clock: systemClock, ids: systemIds, socketPath, pipesDir: `${directory}/pipes` });
  api = memoryApiserver({ clock: systemClock, ids: systemIds });
  client = createApiClient({ transports: [api.transport], userAgent: "test" });
  telemetry = memoryTelemetry({ clock: systemClock, random: systemRandom });
  await mkdir(`${directory}/kubelet`);
  kubelet = await startKubelet();
});
afterAll(async () => {
  await kubelet.close();
  await runtime.close();
  await containerd.stop();
  await expectNoLeaks();
});

test("one pod with two containers runs, with its volumes, environment and names", async () => {
  await client.create(resources.configMaps, {
    metadata: { name: "settings", namespace: "default" },
    data: { colour: "green", "app.conf": "x=1\n" },
  });
  await createPod("pair", {
    containers: [
      {
        name: "writer",
        image: TOOLBOX,
        command: ["sh", "-c", "echo $COLOUR-$POD_NAME-$(INDIRECT) > /shared/out; hostname > /shared/host; sleep 1000"],
        env: [
          { name: "COLOUR", valueFrom: { configMapKeyRef: { name: "settings", key: "colour" } } },
          { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
          { name: "INDIRECT", value: "$(COLOUR)" },
        ],
        resources: { limits: { memory: "64Mi", cpu: "500m" } },
        volumeMounts: [{ name: "shared", mountPath: "/shared" }],
      },
      {
        name: "reader",
        image: TOOLBOX,
        command: ["sleep", "1000"],
        volumeMounts: [
          { name: "shared", mountPath: "/shared" },
          { name: "settings", mountPath: "/etc/settings", readOnly: true },
        ],
      },
    ],
    volumes: [
      { name: "shared", emptyDir: {} },
      { name: "settings", configMap: { name: "settings" } },
    ],
  });
  await running("pair");
  expect(status("pair")?.podIP).toMatch(/^198\.18\.0\./);
  expect(await output("pair", "reader", "cat /shared/out /shared/host")).toBe("green-pair-green\npair\n");
  expect(await output("pair", "reader", "cat /etc/settings/app.conf")).toBe("x=1\n");
  expect(await output("pair", "reader", "cat /etc/hosts")).toContain(`${status("pair")?.podIP}\tpair\n`);
  expect(await output("pair", "reader", "cat /etc/resolv.conf")).toBe(
    "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 198.19.0.10\noptions ndots:5\n",
  );
});

test("limits are the cgroup's", async () => {
  const { uid } = (await client.get(resources.pods, "default", "pair")).metadata;
  const id = containerId("pair", "writer");
  const cgroup = `${containerd.cgroupParent}/pod${uid}/${id}`;
  const { stdout } = await runtime.execSync(id, ["cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"], 5_000);
  expect(new TextDecoder().decode(stdout).trim()).toBe(String(64 * 2 ** 20));
  expect(await readdir(`/sys/fs/cgroup/cpu${cgroup}`)).toContain("cpu.cfs_quota_us");
});

test("a container that is killed comes back, at once", async () => {
  await containerd.ctr("tasks", "kill", "-s", "KILL", containerId("pair", "writer"));
  await until(
    "it is back",
    () => named("pair", "writer")?.restartCount === 1 && named("pair", "writer")?.ready === true,
  );
  expect(named("pair", "writer")?.lastState?.terminated).toMatchObject({ exitCode: 137, reason: "Error" });
  expect(named("pair", "reader")?.restartCount).toBe(0);
});

test("last words are told", async () => {
  await createPod("last", {
    restartPolicy: "Never",
    containers: [
      { name: "c", image: TOOLBOX, command: ["sh", "-c", "echo -n goodbye > /dev/termination-log; exit 4"] },
    ],
  });
  await until("it has failed", () => status("last")?.phase === "Failed");
  expect(named("last", "c")?.state?.terminated).toMatchObject({ exitCode: 4, message: "goodbye", reason: "Error" });
});

test("a pod of the host's network has the node's address; an exec probe makes it ready", async () => {
  await createPod("host", {
    hostNetwork: true,
    containers: [
      {
        name: "c",
        image: TOOLBOX,
        command: ["sleep", "1000"],
        readinessProbe: { exec: { command: ["true"] }, periodSeconds: 1 },
      },
    ],
  });
  await running("host");
  expect(status("host")?.podIP).toBe("198.51.100.1");
});

test("the web server answers, and is stopped without an answer lost", async () => {
  await createPod("web", { containers: [{ name: "web", image: WEB, env: [{ name: "DRAIN_SECONDS", value: "1" }] }] });
  await running("web");
  const ip = status("web")?.podIP ?? "";
  const get = (path: string): Promise<string> => containerd.inNetns("busybox", "wget", "-qO-", `http://${ip}${path}`);
  await until("it listens", () =>
    get("/healthz").then(
      () => true,
      () => false,
    ),
  );
  expect([await get("/version"), await get("/hostname"), await get("/healthz")]).toEqual(["v1\n", "web\n", "ok\n"]);
  const slow = get("/echo?delay=2");
  await client.delete(resources.pods, "default", "web");
  expect(await slow).toContain("hostname: web\nversion: v1\nmethod: GET\nquery: delay=2\n");
  await gone("web");
});

test("restarting the kubelet touches no container", async () => {
  const before = await runtime.listContainers();
  await kubelet.close();
  kubelet = await startKubelet();
  await until("it looks after its pods again", () => kubelet.workers.pods().length === 3);
  await containerd.ctr("tasks", "kill", "-s", "KILL", containerId("pair", "reader"));
  await until(
    "it is back",
    () => named("pair", "reader")?.restartCount === 1 && named("pair", "reader")?.ready === true,
  );
  const after = await runtime.listContainers();
  const alive = (list: typeof before): string[] => list.filter((it) => it.state === "running").map((it) => it.id);
  expect(alive(before).filter((id) => !alive(after).includes(id))).toHaveLength(1);
  expect(named("pair", "writer")?.restartCount).toBe(1);
  expect(status("last")?.phase).toBe("Failed");
});

test("one trace holds the change and every step that it led to", () => {
  const spans = telemetry.spans.filter((it) => it.attributes["k8s.pod.name"] === "pair");
  const names = new Set(spans.map((it) => it.name));
  for (const name of ["cri.RunPodSandbox", "cri.CreateContainer", "cri.StartContainer"]) expect(names).toContain(name);
});

test("deleting leaves nothing", async () => {
  for (const name of ["pair", "last", "host"]) {
    await client.delete(resources.pods, "default", name, { gracePeriodSeconds: 1 });
    await gone(name);
  }
  expect(await runtime.listPodSandboxes()).toEqual([]);
  expect(await runtime.listContainers()).toEqual([]);
  expect(await readdir(`${containerd.directory}/kubelet/pods`)).toEqual([]);
  expect(await readdir(`${containerd.directory}/logs`)).toEqual([]);
  expect(
    (await readdir(`/sys/fs/cgroup/memory${containerd.cgroupParent}`)).filter((it) => it.startsWith("pod")),
  ).toEqual([]);
});

async function startKubelet(): Promise<KubeletService> {
  const { directory, cgroupParent: cgroupRoot } = containerd;
  const rootDir = `${directory}/kubelet`;
  const ports = {
    clock: systemClock,
    random: systemRandom,
    client,
    runtime,
    telemetry,
    files: nodeFiles({ rootDir, resolvConf: "/dev/null" }),
    network: networkProbe(systemClock),
    writeCniConfig: () => Promise.resolve(),
  };
  return start(ports, {
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
  });
}

async function createPod(name: string, spec: Pod["spec"]): Promise<void> {
  const pod: Pod = {
    kind: "Pod",
    apiVersion: "v1",
    metadata: { name, namespace: "default" },
    spec: { nodeName: NODE, terminationGracePeriodSeconds: 5, ...spec },
  };
  await client.create(resources.pods, pod);
}

function status(name: string): PodStatus | undefined {
  return api.peek("pods", `default/${name}`)?.status as PodStatus | undefined;
}

function named(pod: string, container: string): NonNullable<PodStatus["containerStatuses"]>[number] | undefined {
  return status(pod)?.containerStatuses?.find((it) => it.name === container);
}

function containerId(pod: string, container: string): string {
  return named(pod, container)?.containerID?.replace("containerd://", "") ?? "";
}

function running(name: string): Promise<void> {
  const isReady = (): boolean =>
    status(name)?.conditions?.some((it) => it.type === "Ready" && it.status === "True") ?? false;
  return until(`${name} is ready`, isReady, 15_000);
}

function gone(name: string): Promise<void> {
  return until(`${name} is gone`, () => api.peek("pods", `default/${name}`) === undefined, 15_000);
}

async function output(pod: string, container: string, command: string): Promise<string> {
  const { stdout } = await runtime.execSync(containerId(pod, container), ["sh", "-c", command], 5_000);
  return new TextDecoder().decode(stdout);
}
