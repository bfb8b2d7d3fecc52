/** Stories of pods that are more than containers that run: resized, debugged, refused, and ended in order. */
import type { Container, Pod, PodSpec, PodStatus } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { afterEach, describe, expect, test } from "vitest";
import { startRig, type Rig } from "./rig.fixture.ts";

let rig: Rig;
afterEach(() => rig.close());

const MERGE = "application/strategic-merge-patch+json";
const web = { name: "web", image: "web" };
const sized = (cpu: string, memory: string): Container => ({
  ...web,
  resources: { requests: { cpu, memory }, limits: { cpu, memory } },
});

/** As the API server changes a pod through a subresource: a new generation. */
async function change(name: string, spec: Partial<PodSpec>): Promise<void> {
  const before = rig.api.peek("pods", `default/${name}`) as Pod | undefined;
  const metadata = { generation: (before?.metadata.generation ?? 1) + 1 };
  await rig.client.patch(resources.pods, "default", name, { type: MERGE, body: { metadata, spec } });
  await rig.clock.advance(50);
}

const events = (): string[] => rig.api.list("events").map((it) => `${String(it["reason"])}: ${String(it["message"])}`);
const conditions = (status: PodStatus | undefined): string[] =>
  (status?.conditions ?? [])
    .filter(({ type }) => type.startsWith("PodResize"))
    .map((it) => `${it.type} ${it.reason ?? ""}`);

describe("a resize", () => {
  const only = async (): Promise<string> => (await rig.runtime.listContainers())[0]?.id ?? "";

  test("changes the limits of what runs, and tells so, without a restart", async () => {
    rig = await startRig({ web: {} });
    await rig.create("a", { containers: [sized("500m", "64Mi")] }, { generation: 1 });
    expect(rig.status("a")?.containerStatuses?.[0]).toMatchObject({
      resources: { limits: { cpu: "500m", memory: "64Mi" } },
      allocatedResources: { cpu: "500m", memory: "64Mi" },
    });
    await change("a", { containers: [sized("1", "128Mi")] });
    expect(rig.runtime.resourcesOf(await only())).toMatchObject({ cpuQuotaUs: 100_000, memoryLimitBytes: 2 ** 27 });
    const status = rig.status("a");
    expect(status?.containerStatuses?.[0]).toMatchObject({
      restartCount: 0,
      resources: { requests: { cpu: "1", memory: "128Mi" }, limits: { cpu: "1", memory: "128Mi" } },
    });
    expect([conditions(status), status?.observedGeneration]).toEqual([[], 2]);
    const told = events().filter((it) => it.startsWith("Resize"));
    expect(told.map((it) => it.split(":", 1)[0])).toEqual(["ResizeStarted", "ResizeCompleted"]);
    expect(told[0]).toContain(
      '"resources":{"limits":{"cpu":"1","memory":"128Mi"},"requests":{"cpu":"1","memory":"128Mi"}}',
    );
  });

  test("restarts a container that wants it so", async () => {
    rig = await startRig({ web: {} });
    const resizePolicy = [{ resourceName: "memory", restartPolicy: "RestartContainer" }];
    const spec = { terminationGracePeriodSeconds: 1, containers: [{ ...sized("1", "64Mi"), resizePolicy }] };
    await rig.create("a", spec, { generation: 1 });
    await change("a", { containers: [{ ...sized("1", "128Mi"), resizePolicy }] });
    await rig.clock.advance(2_000);
    expect(rig.status("a")?.containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      resources: { limits: { memory: "128Mi" } },
    });
    expect(events()).toContain("Killing: Container web resize requires restart");
  });

  test("that the node can never grant is infeasible; one that it cannot now waits for room", async () => {
    rig = await startRig({ web: {} });
    await rig.create("a", { containers: [sized("500m", "64Mi")] }, { generation: 1 });
    await rig.create("b", { containers: [sized("1", "64Mi")], terminationGracePeriodSeconds: 1 });
    await change("a", { containers: [sized("5", "64Mi")] });
    expect(rig.status("a")?.conditions).toContainEqual(
      expect.objectContaining({
        type: "PodResizePending",
        reason: "Infeasible",
        message: "Node didn't have enough capacity: cpu, requested: 5000, capacity: 2000",
        observedGeneration: 2,
      }),
    );
    await change("a", { containers: [sized("1500m", "64Mi")] });
    expect(rig.status("a")?.conditions).toContainEqual(
      expect.objectContaining({
        reason: "Deferred",
        message: "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
      }),
    );
    expect(rig.status("a")?.containerStatuses?.[0]?.resources?.limits).toEqual({ cpu: "500m", memory: "64Mi" });
    await rig.client.delete(resources.pods, "default", "b");
    await rig.clock.advance(3_000);
    expect(conditions(rig.status("a"))).toEqual([]);
    expect(rig.status("a")?.containerStatuses?.[0]?.resources?.limits).toEqual({ cpu: "1500m", memory: "64Mi" });
  });

  test("never takes memory away that is in use", async () => {
    rig = await startRig({ web: { memoryBytes: 100 * 2 ** 20 } });
    await rig.create("a", { containers: [sized("1", "128Mi")] }, { generation: 1 });
    await change("a", { containers: [sized("1", "64Mi")] });
    expect(conditions(rig.status("a"))).toEqual(["PodResizeInProgress Error"]);
    expect(rig.runtime.resourcesOf(await only())?.memoryLimitBytes).toBe(2 ** 27);
    expect(rig.status("a")?.containerStatuses?.[0]?.resources?.limits).toEqual({ cpu: "1", memory: "128Mi" });
  });

  test("is remembered by a kubelet that starts anew: neither what was granted nor what is in force gets lost", async () => {
    rig = await startRig({ web: {} });
    await rig.create("a", { containers: [sized("500m", "64Mi")] }, { generation: 1 });
    await change("a", { containers: [sized("1", "64Mi")] });
    await change("a", { containers: [sized("5", "64Mi")] });
    await rig.restart();
    await rig.clock.advance(60_000);
    expect(rig.runtime.resourcesOf(await only())?.cpuQuotaUs).toBe(100_000);
    expect(rig.status("a")?.containerStatuses?.[0]).toMatchObject({
      restartCount: 0,
      resources: { limits: { cpu: "1" } },
    });
    expect(conditions(rig.status("a"))).toEqual(["PodResizePending Infeasible"]);
  });
});

describe("an ephemeral container", () => {
  test("starts in a pod that runs, is told of, and is never started again", async () => {
    rig = await startRig({ web: {}, toolbox: { exitAfterMs: 5_000, exitCode: 3 } });
    await rig.create("a", { containers: [web] });
    await change("a", { ephemeralContainers: [{ name: "debug", image: "toolbox", targetContainerName: "web" }] });
    expect(rig.status("a")).toMatchObject({
      phase: "Running",
      ephemeralContainerStatuses: [{ name: "debug", ready: false, restartCount: 0, state: { running: {} } }],
    });
    await rig.clock.advance(120_000);
    expect(rig.status("a")).toMatchObject({
      phase: "Running",
      ephemeralContainerStatuses: [{ state: { terminated: { exitCode: 3, reason: "Error" } } }],
    });
    expect(rig.runtime.journal.filter((line) => line.startsWith("start"))).toEqual([
      "start a/web#0",
      "start a/debug#0",
    ]);
    await rig.restart();
    await rig.clock.advance(60_000);
    expect(rig.runtime.journal.filter((line) => line.startsWith("start"))).toHaveLength(2);
  });

  test("whose target does not run waits, and says why", async () => {
    rig = await startRig({ toolbox: {} });
    await rig.create("a", { containers: [web] });
    await change("a", { ephemeralContainers: [{ name: "debug", image: "toolbox", targetContainerName: "web" }] });
    expect(rig.status("a")?.ephemeralContainerStatuses?.[0]?.state?.waiting).toEqual({
      reason: "CreateContainerConfigError",
      message: "unable to find target container web",
    });
  });
});

describe("a pod that the node does not take", () => {
  test("has failed, with the reason, and has never run", async () => {
    rig = await startRig({ web: {} });
    await rig.create("a", { containers: [sized("1500m", "64Mi")] });
    await rig.create("b", { containers: [sized("501m", "64Mi")] });
    await rig.create("c", { containers: [web], nodeSelector: { disk: "ssd" } });
    expect(rig.status("b")).toMatchObject({
      phase: "Failed",
      reason: "OutOfcpu",
      message: "Pod was rejected: Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000",
    });
    expect(rig.status("c")).toMatchObject({ phase: "Failed", reason: "NodeAffinity" });
    expect(rig.runtime.journal).toEqual(["run sandbox a", "pull web", "start a/web#0"]);
    expect(events()).toContain(
      "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    );
    await rig.client.delete(resources.pods, "default", "b");
    await rig.clock.advance(1_000);
    expect(rig.api.peek("pods", "default/b")).toBeUndefined();
  });

  test("does not include what ran before the kubelet started anew, whatever the node has become", async () => {
    rig = await startRig({ web: {} });
    const patch = { type: MERGE, body: { metadata: { labels: { disk: "ssd" } } } } as const;
    await rig.client.patch(resources.nodes, "", "node-1", patch);
    await rig.clock.advance(100);
    await rig.create("a", { containers: [web], nodeSelector: { disk: "ssd" } });
    expect(rig.status("a")?.phase).toBe("Running");
    const gone = { type: MERGE, body: { metadata: { labels: { disk: null } } } } as const;
    await rig.client.patch(resources.nodes, "", "node-1", gone);
    await rig.restart();
    await rig.clock.advance(60_000);
    expect(rig.status("a")?.phase).toBe("Running");
  });

  test("of two that want the same port the second", async () => {
    rig = await startRig({ web: {} });
    const containers = [{ ...web, ports: [{ containerPort: 80, hostPort: 8080 }] }];
    await rig.create("a", { containers });
    await rig.create("b", { containers });
    expect([rig.status("a")?.phase, rig.status("b")?.reason]).toEqual(["Running", "NodePorts"]);
    await rig.client.delete(resources.pods, "default", "a", { gracePeriodSeconds: 0 });
    await rig.clock.advance(5_000);
    await rig.create("c", { containers });
    expect(rig.status("c")?.phase).toBe("Running");
  });
});

describe("ending", () => {
  const mesh = { name: "mesh", image: "mesh", restartPolicy: "Always" };
  const journal = (): string[] => rig.runtime.journal.filter((line) => /^(stop|exit)/.test(line));

  test("sidecars end after the others, within what is left of the grace", async () => {
    rig = await startRig({ web: { stopMs: 4_000 }, mesh: { stopMs: 1_000 } });
    const initContainers = [mesh, { ...mesh, name: "logs" }];
    await rig.create("a", { initContainers, containers: [web], terminationGracePeriodSeconds: 10 });
    await rig.client.delete(resources.pods, "default", "a");
    await rig.clock.advance(8_000);
    expect(journal()).toEqual([
      "stop(10s) a/web#0",
      "exit(0) a/web#0",
      "stop(6s) a/logs#0",
      "exit(0) a/logs#0",
      "stop(5s) a/mesh#0",
      "exit(0) a/mesh#0",
      "stop sandbox a",
    ]);
    expect(rig.api.peek("pods", "default/a")).toBeUndefined();
  });

  test("a container that takes all of the grace leaves the sidecars the least there is", async () => {
    rig = await startRig({ web: { stopMs: 60_000 }, mesh: { stopMs: 1_000 } });
    await rig.create("a", { initContainers: [mesh], containers: [web], terminationGracePeriodSeconds: 3 });
    await rig.client.delete(resources.pods, "default", "a");
    await rig.clock.advance(6_000);
    expect(journal().filter((line) => line.startsWith("stop"))).toEqual([
      "stop(3s) a/web#0",
      "stop(2s) a/mesh#0",
      "stop sandbox a",
    ]);
  });

  test("a job with a sidecar is done when its work is, and tells so when the sidecar has ended too", async () => {
    rig = await startRig({ web: { exitAfterMs: 1_000 }, mesh: { stopMs: 2_000 } });
    await rig.create("a", { initContainers: [mesh], containers: [web], restartPolicy: "Never" });
    await rig.clock.advance(2_000);
    expect(rig.status("a")?.phase).toBe("Running");
    await rig.clock.advance(2_000);
    expect(rig.status("a")?.phase).toBe("Succeeded");
  });

  test("readiness is still asked while a pod ends, life no more", async () => {
    rig = await startRig({ web: { stopMs: 20_000 } });
    const probe = { httpGet: { port: 80 }, periodSeconds: 1, failureThreshold: 1 };
    const containers = [{ ...web, readinessProbe: probe, livenessProbe: probe }];
    await rig.create("a", { containers, terminationGracePeriodSeconds: 30 });
    await rig.clock.advance(2_000);
    await rig.client.delete(resources.pods, "default", "a");
    await rig.clock.advance(2_000);
    expect(rig.status("a")?.containerStatuses?.[0]?.ready).toBe(true);
    rig.network = { ok: false, detail: "no" };
    await rig.clock.advance(3_000);
    expect(rig.status("a")?.containerStatuses?.[0]?.ready).toBe(false);
    expect(events().filter((it) => it.startsWith("Unhealthy: Liveness"))).toEqual([]);
    await rig.clock.advance(20_000);
  });
});

describe("a pod of a runtime class", () => {
  test("runs under the class's handler, and waits until there is such a class", async () => {
    rig = await startRig({ web: {} });
    await rig.create("a", { containers: [web], runtimeClassName: "small" });
    expect(events()).toContain(
      'FailedCreatePodSandBox: Failed to create pod sandbox: failed to get sandbox runtime: runtimeclasses.node.k8s.io "small" not found',
    );
    await rig.client.create(resources.runtimeClasses, { metadata: { name: "small" }, handler: "crun" });
    await rig.clock.advance(5_000);
    expect(rig.status("a")?.phase).toBe("Running");
    expect(rig.runtime.journal[0]).toBe("run sandbox a with crun");
  });
});

describe("last words", () => {
  test("come from the log when a container that failed left none, if it says so", async () => {
    rig = await startRig({ web: { exitAfterMs: 100, exitCode: 1 }, good: { exitAfterMs: 100 } });
    const policy = { terminationMessagePolicy: "FallbackToLogsOnError" };
    for (const [name, image] of [
      ["bad", "web"],
      ["good", "good"],
    ] as const) {
      await rig.create(name, { containers: [{ name: "web", image, ...policy }], restartPolicy: "Never" });
      const [container] = await rig.runtime.listContainers({ labels: { "io.kubernetes.pod.name": name } });
      const path = (await rig.runtime.containerStatus(container?.id ?? ""))?.logPath ?? "";
      rig.files.write(path, "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stderr F two\n");
    }
    await rig.clock.advance(1_000);
    const message = (name: string): unknown => rig.status(name)?.containerStatuses?.[0]?.state?.terminated?.message;
    expect([message("bad"), message("good")]).toEqual(["one\ntwo\n", undefined]);
  });
});
