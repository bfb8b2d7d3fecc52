import { readdir, readFile, readlink } from "node:fs/promises";
import { resources } from "@pilothouse/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { UNPACKED_BUSYBOX } from "../../../deploy/images.ts";
import { expectNoLeaks, until } from "../../../test/harness/index.ts";
import { TestNode, TOOLBOX, WEB } from "./node.fixture.ts";

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(async () => {
  await node.stop();
  await expectNoLeaks();
});

test("one pod with two containers runs, with its volumes, environment and names", async () => {
  await node.client.create(resources.configMaps, {
    metadata: { name: "settings", namespace: "default" },
    data: { colour: "green", "app.conf": "x=1\n" },
  });
  await node.createPod("pair", {
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
  await node.untilReady("pair");
  expect(node.status("pair")?.podIP).toMatch(/^198\.18\.0\./);
  expect(await node.output("pair", "reader", "cat /shared/out /shared/host")).toBe("green-pair-green\npair\n");
  expect(await node.output("pair", "reader", "cat /etc/settings/app.conf")).toBe("x=1\n");
  expect(await node.output("pair", "reader", "cat /etc/hosts")).toContain(`${node.status("pair")?.podIP}\tpair\n`);
  expect(await node.output("pair", "reader", "cat /etc/resolv.conf")).toBe(
    "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 198.19.0.10\noptions ndots:5\n",
  );
});

test("limits are the cgroup's", async () => {
  const { uid } = (await node.client.get(resources.pods, "default", "pair")).metadata;
  const id = node.containerId("pair", "writer");
  const pods = `${node.containerd.cgroupParent}/kubepods`;
  const cgroup = `${pods}/burstable/pod${uid}`;
  const { stdout } = await node.runtime.execSync(id, ["cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"], 5_000);
  expect(new TextDecoder().decode(stdout).trim()).toBe(String(64 * 2 ** 20));
  expect(await readdir(`/sys/fs/cgroup/cpu${cgroup}/${id}`)).toContain("cpu.cfs_quota_us");
  // The pod has what its containers have together, its class what its pods ask for, all together what the node gives away.
  const limit = async (file: string): Promise<number> => Number(await readFile(`/sys/fs/cgroup/${file}`, "utf8"));
  expect(await limit(`cpu${cgroup}/cpu.cfs_quota_us`)).toBe(-1);
  expect(await limit(`cpu${pods}/besteffort/cpu.shares`)).toBe(2);
  const capacity = Number(/MemTotal:\s+(\d+)/.exec(await readFile("/proc/meminfo", "utf8"))?.[1]) * 1024;
  expect(await limit(`memory${pods}/memory.limit_in_bytes`)).toBe(capacity - (capacity % 4096));
});

test("a resize changes the cgroup of the container that runs", async () => {
  const containers = [{ name: "writer", resources: { limits: { memory: "96Mi", cpu: "250m" } } }];
  const before = (await node.client.get(resources.pods, "default", "pair")).spec.containers;
  const changed = before.map((it) => ({ ...it, ...containers.find(({ name }) => name === it.name) }));
  const body = { spec: { containers: changed } };
  await node.client.patch(resources.pods, "default", "pair", { type: "application/merge-patch+json", body });
  await until("it is told", () => node.container("pair", "writer")?.resources?.limits?.["memory"] === "96Mi");
  const read = (file: string): Promise<string> => node.output("pair", "writer", `cat /sys/fs/cgroup/${file}`);
  expect(await read("memory/memory.limit_in_bytes")).toBe(`${96 * 2 ** 20}\n`);
  expect(await read("cpu/cpu.cfs_quota_us")).toBe("25000\n");
  expect(node.container("pair", "writer")?.restartCount).toBe(0);
});

test("an ephemeral container sees the processes of its target, and a failing container's log is its last word", async () => {
  const debug = {
    name: "debug",
    image: TOOLBOX,
    command: ["sh", "-c", "echo $(cat /proc/1/comm); exit 5"],
    targetContainerName: "reader",
    terminationMessagePolicy: "FallbackToLogsOnError",
  };
  const body = { spec: { ephemeralContainers: [debug] } };
  await node.client.patch(resources.pods, "default", "pair", { type: "application/merge-patch+json", body });
  const ended = () => node.status("pair")?.ephemeralContainerStatuses?.[0]?.state?.terminated;
  await until("it has ended", () => ended() !== undefined);
  expect(ended()).toMatchObject({ exitCode: 5, message: "sleep\n" });
});

test("a container that is killed comes back, at once", async () => {
  await node.containerd.ctr("tasks", "kill", "-s", "KILL", node.containerId("pair", "writer"));
  await until(
    "it is back",
    () => node.container("pair", "writer")?.restartCount === 1 && node.container("pair", "writer")?.ready === true,
  );
  expect(node.container("pair", "writer")?.lastState?.terminated).toMatchObject({ exitCode: 137, reason: "Error" });
  expect(node.container("pair", "reader")?.restartCount).toBe(0);
});

test("a container that takes more memory than it may is killed for it, and that is told", async () => {
  const amounts = { requests: { cpu: "10m" }, limits: { cpu: "500m", memory: "16Mi" } };
  await node.createPod("greedy", {
    restartPolicy: "Never",
    containers: [{ name: "c", image: TOOLBOX, command: ["tail", "/dev/zero"], resources: amounts }],
  });
  const { uid } = (await node.client.get(resources.pods, "default", "greedy")).metadata;
  const cgroup = `${node.containerd.cgroupParent}/kubepods/burstable/pod${uid}`;
  await until("it has failed", () => node.status("greedy")?.phase === "Failed", 15_000);
  expect(node.container("greedy", "c")?.state?.terminated).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
  const limit = async (file: string): Promise<string> => (await readFile(`/sys/fs/cgroup/${file}`, "utf8")).trim();
  expect([
    await limit(`cpu${cgroup}/cpu.cfs_quota_us`),
    await limit(`cpu${cgroup}/cpu.shares`),
    await limit(`memory${cgroup}/memory.limit_in_bytes`),
  ]).toEqual(["50000", "10", String(16 * 2 ** 20)]);
  await node.deletePod("greedy");
});

test("last words are told", async () => {
  await node.createPod("last", {
    restartPolicy: "Never",
    containers: [
      { name: "c", image: TOOLBOX, command: ["sh", "-c", "echo -n goodbye > /dev/termination-log; exit 4"] },
    ],
  });
  await until("it has failed", () => node.status("last")?.phase === "Failed");
  expect(node.container("last", "c")?.state?.terminated).toMatchObject({
    exitCode: 4,
    message: "goodbye",
    reason: "Error",
  });
});

test("a pod of the host's network has the node's address; an exec probe makes it ready", async () => {
  await node.createPod("host", {
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
  await node.untilReady("host");
  expect(node.status("host")?.podIP).toBe("198.51.100.1");
});

test("a pod that shares the host's processes and its means to talk to each other is in the host's namespaces", async () => {
  const containers = [{ name: "c", image: TOOLBOX, command: ["sleep", "1000"] }];
  await node.createPod("apart", { containers });
  await node.createPod("shares", { hostPID: true, hostIPC: true, containers });
  await Promise.all(["apart", "shares"].map((name) => node.untilReady(name)));
  const namespaces = async (pod: string): Promise<string> =>
    (await node.output(pod, "c", "ls -l /proc/self/ns/ipc /proc/self/ns/pid")).replaceAll(/.* -> /g, "");
  const [pid, ipc] = await Promise.all(["pid", "ipc"].map((it) => readlink(`/proc/self/ns/${it}`)));
  expect(await namespaces("shares")).toBe(`${ipc}\n${pid}\n`);
  const own = await namespaces("apart");
  expect([own.includes(pid ?? ""), own.includes(ipc ?? "")]).toEqual([false, false]);
  await Promise.all(["apart", "shares"].map((name) => node.deletePod(name)));
});

test("an image is a volume that can only be read, a part of it too; it is there again after a restart", async () => {
  const volumeMounts = [
    { name: "v", mountPath: "/whole" },
    { name: "v", mountPath: "/part", subPath: "bin" },
  ];
  const command = ["sleep", "1000"];
  await node.createPod("model", {
    terminationGracePeriodSeconds: 1,
    volumes: [{ name: "v", image: { reference: TOOLBOX } }],
    containers: [{ name: "c", image: TOOLBOX, command, volumeMounts }],
  });
  await node.untilReady("model");
  const seen = "ls /whole/bin/busybox /part/busybox; touch /whole/x 2>&1; touch /part/x 2>&1; true";
  const wanted = ["/part/busybox", "/whole/bin/busybox"];
  const output = await node.output("model", "c", seen);
  expect(output.split("\n").slice(0, 2).toSorted()).toEqual(wanted);
  expect(output.match(/Read-only file system/g)).toHaveLength(2);
  await node.containerd.ctr("tasks", "kill", "-s", "KILL", node.containerId("model", "c"));
  await until("it is there again", () => node.container("model", "c")?.restartCount === 1, 20_000);
  await node.untilReady("model");
  expect((await node.output("model", "c", seen)).split("\n").slice(0, 2).toSorted()).toEqual(wanted);
  await node.deletePod("model");
});

test("the web server answers, and is stopped without an answer lost", async () => {
  await node.createPod("web", {
    terminationGracePeriodSeconds: 10,
    containers: [{ name: "web", image: WEB, env: [{ name: "DRAIN_SECONDS", value: "1" }] }],
  });
  await node.untilReady("web");
  const ip = node.status("web")?.podIP ?? "";
  const get = (path: string): Promise<string> =>
    node.containerd.inNetns(UNPACKED_BUSYBOX, "wget", "-qO-", `http://${ip}${path}`);
  await until("it listens", () =>
    get("/healthz").then(
      () => true,
      () => false,
    ),
  );
  expect([await get("/version"), await get("/hostname"), await get("/healthz")]).toEqual(["v1\n", "web\n", "ok\n"]);
  const slow = get("/echo?delay=2");
  const deleted = node.deletePod("web");
  expect(await slow).toContain("hostname: web\nversion: v1\nmethod: GET\nquery: delay=2\n");
  await deleted;
});

test("restarting the kubelet touches no container", async () => {
  const before = await node.runtime.listContainers();
  await node.restartKubelet();
  await until("it looks after its pods again", () => node.kubelet.workers.pods().length === 3);
  await node.containerd.ctr("tasks", "kill", "-s", "KILL", node.containerId("pair", "reader"));
  await until(
    "it is back",
    () => node.container("pair", "reader")?.restartCount === 1 && node.container("pair", "reader")?.ready === true,
  );
  const after = await node.runtime.listContainers();
  const alive = (list: typeof before): string[] => list.filter((it) => it.state === "running").map((it) => it.id);
  expect(alive(before).filter((id) => !alive(after).includes(id))).toHaveLength(1);
  expect(node.container("pair", "writer")?.restartCount).toBe(1);
  expect(node.status("last")?.phase).toBe("Failed");
});

test("one trace holds the change and every step that it led to", () => {
  const spans = node.telemetry.spans.filter((it) => it.attributes["k8s.pod.name"] === "pair");
  const names = new Set(spans.map((it) => it.name));
  for (const name of ["cri.RunPodSandbox", "cri.CreateContainer", "cri.StartContainer"]) expect(names).toContain(name);
});

test("deleting leaves nothing", async () => {
  await Promise.all(["pair", "last", "host"].map((name) => node.deletePod(name)));
  expect(await node.runtime.listPodSandboxes()).toEqual([]);
  expect(await node.runtime.listContainers()).toEqual([]);
  expect(await readdir(`${node.containerd.directory}/kubelet/pods`)).toEqual([]);
  expect(await readdir(`${node.containerd.directory}/logs`)).toEqual([]);
  expect(await readdir(`${node.containerd.directory}/containers`)).toEqual([]);
  const cgroups = await readdir(`/sys/fs/cgroup/memory${node.containerd.cgroupParent}`, { recursive: true });
  expect(cgroups.filter((it) => /\/pod[^/]*$/.test(it))).toEqual([]);
});
