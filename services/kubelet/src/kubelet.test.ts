import { Readable } from "node:stream";
import type { NodeCondition, NodeStatus } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { RuntimeError } from "@pilothouse/runtime";
import { afterEach, expect, test } from "vitest";
import { startRig, type Rig } from "./rig.fixture.ts";

let rig: Rig;
afterEach(() => rig.close());

const web = { name: "web", image: "web" };
const nodeStatus = (): NodeStatus => rig.api.peek("nodes", "node-1")?.status ?? {};
const nodeReady = (): NodeCondition | undefined => nodeStatus().conditions?.find((it) => it.type === "Ready");

test("a pod runs, and its status comes back", async () => {
  rig = await startRig({ web: {} });
  await rig.create("a", { containers: [web] });
  const status = rig.status("a");
  expect(status).toMatchObject({ phase: "Running", hostIP: "198.51.100.1", podIP: "198.18.0.2" });
  expect(status?.containerStatuses?.[0]).toMatchObject({ name: "web", ready: true, started: true, restartCount: 0 });
  expect(status?.conditions?.map((it) => `${it.type}=${it.status}`)).toEqual([
    "PodReadyToStartContainers=True",
    "Initialized=True",
    "Ready=True",
    "ContainersReady=True",
    "PodScheduled=True",
  ]);
  expect(rig.runtime.journal).toEqual(["run sandbox a", "pull web", "start a/web#0"]);
  expect(rig.events("a")).toEqual([
    'Normal Pulling: Pulling image "web"',
    expect.stringMatching(
      /^Normal Pulled: Successfully pulled image "web" in 0s \(0s including waiting\)\. Image size: \d+ bytes\.$/,
    ),
    "Normal Created: Container created",
    "Normal Started: Container started",
  ]);
});

test("a container that fails starts again, ever later, and says so", async () => {
  rig = await startRig({ web: { exitAfterMs: 1_000, exitCode: 3 } });
  await rig.create("a", { containers: [web] });
  await rig.clock.advance(1_100);
  expect(rig.status("a")?.containerStatuses?.[0]?.restartCount).toBe(1);
  await rig.clock.advance(1_500);
  const [container] = rig.status("a")?.containerStatuses ?? [];
  expect(container?.state?.waiting?.reason).toBe("CrashLoopBackOff");
  expect(container?.state?.waiting?.message).toMatch(/^back-off 10s restarting failed container=web pod=a_default\(/);
  expect(container?.lastState?.terminated).toMatchObject({ exitCode: 3, reason: "Error" });
  expect(rig.status("a")?.phase).toBe("Running");
  const messages = rig.api.list("events").map((it) => String(it["message"]).replace(/\(.*\)/, ""));
  expect(messages).toContain("Back-off restarting failed container web in pod a_default");
  await rig.clock.advance(600_000);
  const starts = rig.runtime.journal.filter((line) => line.startsWith("start a/web"));
  expect(starts.length).toBeGreaterThanOrEqual(6);
  expect(starts.length).toBeLessThanOrEqual(8);
});

test("a pod that is deleted gets its grace, leaves nothing, and its object goes last", async () => {
  rig = await startRig({ web: { stopMs: 2_000 } });
  const { metadata } = await rig.create("a", { containers: [web], terminationGracePeriodSeconds: 5 });
  await rig.client.delete(resources.pods, "default", "a");
  await rig.clock.advance(1_000);
  expect(rig.status("a")?.phase).toBe("Running");
  await rig.clock.advance(2_000);
  expect(rig.api.peek("pods", "default/a")).toBeUndefined();
  expect(rig.runtime.journal.slice(3)).toEqual([
    "stop(5s) a/web#0",
    "exit(0) a/web#0",
    "stop sandbox a",
    "remove a/web#0",
    "remove sandbox a",
  ]);
  expect(await rig.files.listPods()).toEqual([]);
  const last = rig.api.requests.filter((it) => it.method === "DELETE").at(-1);
  expect(JSON.parse(new TextDecoder().decode(last?.body))).toMatchObject({
    gracePeriodSeconds: 0,
    preconditions: { uid: metadata.uid },
  });
});

test("restarting the kubelet touches no container, and what was deleted meanwhile is cleaned up", async () => {
  rig = await startRig({ web: {} });
  await rig.create("a", { containers: [web] });
  await rig.create("b", { containers: [web] });
  const before = [...rig.runtime.journal];
  await rig.restart();
  await rig.clock.advance(120_000);
  expect(rig.runtime.journal).toEqual(before);
  expect(rig.status("a")?.containerStatuses?.[0]).toMatchObject({ ready: true, restartCount: 0 });

  const closing = rig.close();
  await closing;
  await rig.client.delete(resources.pods, "default", "a", { gracePeriodSeconds: 0 });
  await rig.restart();
  await rig.clock.advance(35_000);
  expect(rig.runtime.journal.filter((line) => line.includes("sandbox a"))).toContain("remove sandbox a");
  expect(rig.runtime.journal.filter((line) => line.includes("sandbox b"))).toEqual(["run sandbox b"]);
});

test("a pod that an old list does not have runs on, until the API itself says that it is gone", async () => {
  rig = await startRig({ web: {} });
  await rig.create("a", { containers: [web] });
  const before = [...rig.runtime.journal];
  const empty = new TextEncoder().encode(JSON.stringify({ items: [], metadata: { resourceVersion: "1" } }));
  rig.api.intercept = ({ path, signal }) => {
    if (!path.startsWith("/api/v1/pods?")) return undefined;
    const silence = new Readable({ read: () => undefined, ...(signal && { signal }) });
    return { status: 200, headers: {}, body: path.includes("watch=true") ? silence : Readable.from([empty]) };
  };
  await rig.restart();
  await rig.clock.advance(20_000);
  expect(rig.runtime.journal).toEqual(before);

  await rig.client.delete(resources.pods, "default", "a", { gracePeriodSeconds: 0 });
  await rig.clock.advance(40_000);
  expect(rig.runtime.journal).toContain("remove sandbox a");
});

test("init containers run one after the other, then the others", async () => {
  rig = await startRig({ web: {}, init: { exitAfterMs: 500 } });
  const initContainers = [
    { name: "one", image: "init" },
    { name: "two", image: "init" },
  ];
  await rig.create("a", { initContainers, containers: [web] });
  expect(rig.status("a")?.conditions?.find((it) => it.type === "Initialized")).toMatchObject({
    status: "False",
    message: "containers with incomplete status: [one two]",
  });
  expect(rig.status("a")?.containerStatuses?.[0]?.state?.waiting?.reason).toBe("PodInitializing");
  await rig.clock.advance(2_000);
  expect(rig.status("a")?.phase).toBe("Running");
  expect(rig.runtime.journal.filter((line) => line.startsWith("start"))).toEqual([
    "start a/one#0",
    "start a/two#0",
    "start a/web#0",
  ]);
});

test("a job's pod ends for good", async () => {
  rig = await startRig({ web: { exitAfterMs: 500 }, bad: { exitAfterMs: 500, exitCode: 2 } });
  await rig.create("good", { containers: [web], restartPolicy: "OnFailure" });
  await rig.create("bad", { containers: [{ name: "web", image: "bad" }], restartPolicy: "Never" });
  await rig.clock.advance(2_000);
  expect(rig.status("good")?.phase).toBe("Succeeded");
  expect(rig.status("bad")).toMatchObject({
    phase: "Failed",
    containerStatuses: [{ state: { terminated: { exitCode: 2, reason: "Error" } } }],
  });
  await rig.restart();
  await rig.clock.advance(120_000);
  expect(rig.runtime.journal.filter((line) => line.startsWith("start"))).toHaveLength(2);
});

test("an image that cannot be had is told as such, and had as soon as it is there", async () => {
  rig = await startRig({});
  await rig.create("a", { containers: [web] });
  expect(rig.status("a")).toMatchObject({
    phase: "Pending",
    containerStatuses: [{ state: { waiting: { reason: "ErrImagePull" } } }],
  });
  await rig.clock.advance(3_000);
  expect(rig.status("a")?.containerStatuses?.[0]?.state?.waiting).toEqual({
    reason: "ImagePullBackOff",
    message: 'Back-off pulling image "web": ErrImagePull: failed to resolve reference "web": not found',
  });
  expect(rig.events("a")).toEqual([
    'Normal Pulling: Pulling image "web"',
    'Warning Failed: Failed to pull image "web": failed to resolve reference "web": not found',
    "Warning Failed: Error: ErrImagePull",
    'Normal BackOff: Back-off pulling image "web"',
    "Warning Failed: Error: ImagePullBackOff",
  ]);
});

test("a text that names no image is told as such, and no registry is asked", async () => {
  rig = await startRig({ "Web:latest": {} });
  await rig.create("a", { containers: [{ name: "web", image: "Web" }] });
  expect(rig.status("a")?.containerStatuses?.[0]?.state?.waiting).toEqual({
    reason: "InvalidImageName",
    message: `Failed to apply default image tag "Web": couldn't parse image name "Web": invalid reference format: repository name (library/Web) must be lowercase`,
  });
  expect(rig.runtime.journal).toEqual(["run sandbox a"]);
  expect(rig.events("a")).toEqual([
    expect.stringMatching(/^Warning InspectFailed: Failed to apply default image tag "Web": /),
    "Warning Failed: Error: InvalidImageName",
  ]);
});

test("a missing ConfigMap holds the container back until it is there", async () => {
  rig = await startRig({ web: {} });
  const env = [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "a" } } }];
  await rig.create("a", { containers: [{ ...web, env }] });
  expect(rig.status("a")?.containerStatuses?.[0]?.state?.waiting).toEqual({
    reason: "CreateContainerConfigError",
    message: 'configmap "settings" not found',
  });
  const metadata = { name: "settings", namespace: "default" };
  await rig.client.create(resources.configMaps, { metadata, data: { a: "1" } });
  await rig.clock.advance(10_000);
  expect(rig.status("a")?.phase).toBe("Running");
});

test("probes: not ready until ready, restarted when dead", async () => {
  rig = await startRig({ web: {} });
  rig.network = { ok: false, detail: "HTTP probe failed with statuscode: 500" };
  const probe = { httpGet: { port: 80 }, periodSeconds: 2, failureThreshold: 2 };
  const containers = [{ ...web, readinessProbe: probe, livenessProbe: { ...probe, initialDelaySeconds: 20 } }];
  await rig.create("a", { containers, terminationGracePeriodSeconds: 1 });
  await rig.clock.advance(5_000);
  const ready = (): unknown => rig.status("a")?.containerStatuses?.[0]?.ready;
  expect(ready()).toBe(false);
  rig.network = { ok: true, detail: "" };
  await rig.clock.advance(5_000);
  expect(ready()).toBe(true);
  rig.network = { ok: false, detail: "HTTP probe failed with statuscode: 500" };
  await rig.clock.advance(30_000);
  expect(rig.status("a")?.containerStatuses?.[0]?.restartCount).toBe(1);
  const messages = rig.api.list("events").map((it) => it["message"]);
  expect(messages).toContain("Readiness probe failed: HTTP probe failed with statuscode: 500");
  expect(messages).toContain("Container web failed liveness probe, will be restarted");
});

test("events that get lost cost time, not truth", async () => {
  rig = await startRig({ web: {} });
  await rig.create("a", { containers: [web] });
  rig.runtime.deliverEvents(false);
  const [container] = await rig.runtime.listContainers();
  rig.runtime.crash(container?.id ?? "", 1);
  await rig.clock.advance(1_000);
  expect(rig.status("a")?.containerStatuses?.[0]?.restartCount).toBe(0);
  await rig.clock.advance(61_000);
  expect(rig.status("a")?.containerStatuses?.[0]?.restartCount).toBe(1);
});

test("a container that ends the moment it starts is seen to end (its end was told before anybody knew it)", async () => {
  rig = await startRig({ web: { exitAfterMs: 0, exitCode: 1 } });
  await rig.create("a", { containers: [web], restartPolicy: "Never" });
  await rig.clock.advance(100);
  expect(rig.status("a")?.phase).toBe("Failed");
});

test("one trace holds the change and every step that it led to", async () => {
  rig = await startRig({ web: {} });
  const cause = { traceId: "a".repeat(32), spanId: "b".repeat(16), sampled: true };
  const spec = { nodeName: "node-1", containers: [web] };
  await rig.client.create(resources.pods, { metadata: { name: "a", namespace: "default" }, spec }, { trace: cause });
  await rig.clock.advance(100);
  const spans = rig.telemetry.spans.filter((it) => it.context.traceId === cause.traceId);
  const ids = new Set([cause.spanId, ...spans.map((it) => it.context.spanId)]);
  expect(spans.filter((it) => !ids.has(it.parent?.spanId ?? ""))).toEqual([]);
  const steps = ["cri.RunPodSandbox", "cri.PullImage", "cri.CreateContainer", "cri.StartContainer", "kubelet.status"];
  for (const step of steps) expect(spans.map((it) => it.name)).toContain(step);
});

test("a condition that turned true keeps no reason of the time before", async () => {
  rig = await startRig({ web: {} });
  await rig.create("a", { containers: [web] });
  const patches = rig.api.requests.filter((it) => it.method === "PATCH" && it.path.includes("/pods/a/status"));
  const last = JSON.parse(new TextDecoder().decode(patches.at(-1)?.body)) as { status: { conditions: object[] } };
  expect(last.status.conditions).toContainEqual(
    expect.objectContaining({ type: "Ready", status: "True", reason: null }),
  );
});

test("a pod that may only be active for so long is ended then", async () => {
  rig = await startRig({ web: {} });
  await rig.create("a", { containers: [web], activeDeadlineSeconds: 60, terminationGracePeriodSeconds: 1 });
  await rig.clock.advance(59_000);
  expect(rig.status("a")?.phase).toBe("Running");
  await rig.clock.advance(2_000);
  expect(rig.status("a")).toMatchObject({ phase: "Failed", reason: "DeadlineExceeded" });
  await rig.clock.advance(120_000);
  expect(rig.runtime.journal.slice(3)).toEqual(["stop(1s) a/web#0", "exit(0) a/web#0", "stop sandbox a"]);
  expect(rig.events("a").slice(4)).toEqual([
    "Normal DeadlineExceeded: Pod was active on the node longer than the specified deadline",
    "Normal Killing: Stopping container web",
  ]);
});

test("a runtime that is down for a while costs time, and no container", async () => {
  rig = await startRig({ web: {} });
  await rig.create("a", { containers: [web] });
  rig.runtime.fail(new RuntimeError("Unavailable", "No connection established"));
  await rig.create("b", { containers: [web] });
  await rig.clock.advance(20_000);
  expect([rig.status("a")?.phase, nodeReady()?.status]).toEqual(["Running", "False"]);
  rig.runtime.fail(undefined);
  rig.runtime.deliverEvents(true);
  await rig.clock.advance(2_000);
  expect([rig.status("b")?.phase, nodeReady()?.status]).toEqual(["Running", "True"]);
  expect(rig.runtime.journal.filter((line) => line.includes("a/web"))).toEqual(["start a/web#0"]);
});

test("a node that was declared lost says within a heartbeat that it is well, and says nothing while nothing changes", async () => {
  rig = await startRig({ web: {} });
  const tellings = (): number => rig.api.requests.filter((it) => it.path.includes("/nodes/node-1/status")).length;
  await rig.clock.advance(60_000);
  expect([nodeReady()?.status, tellings()]).toEqual(["True", 0]);
  const lost = { reason: "NodeStatusUnknown", message: "Kubelet stopped posting node status.", status: "Unknown" };
  const conditions = nodeStatus().conditions?.map((condition) => ({ ...condition, ...lost }));
  const patch = { type: "application/merge-patch+json", body: { status: { conditions } } } as const;
  await rig.client.patch(resources.nodes, "", "node-1", patch, { subresource: "status" });
  expect(nodeReady()?.status).toBe("Unknown");
  await rig.clock.advance(10_000);
  expect(nodeReady()).toMatchObject({ status: "True", reason: "KubeletReady" });
  await rig.clock.advance(60_000);
  expect(tellings()).toBe(2);
});

test("a kubelet that comes back does not claim that its node has just become ready", async () => {
  rig = await startRig({ web: {} });
  const before = nodeReady()?.lastTransitionTime;
  await rig.clock.advance(30_000);
  await rig.restart();
  expect(nodeReady()?.lastTransitionTime).toBe(before);
});
