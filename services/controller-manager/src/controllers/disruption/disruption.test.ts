import type { ReplicaSet } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { PodDisruptionBudget } from "@pilothouse/api/types/policy-v1";
import { resources } from "@pilothouse/client";
import { isStatus } from "@pilothouse/errors";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { DELETION_TIMEOUT_MS, plan } from "./plan.ts";
import { startDisruptionController } from "./reconcile.ts";

const NAMESPACE = "default";
const ready = [{ type: "Ready", status: "True" }];
let open: Cluster[] = [];
afterEach(async () => {
  for (const world of open) await world.close();
  open = [];
});

async function started(): Promise<Cluster> {
  const world = await cluster();
  open.push(world);
  await world.client.create(resources.serviceAccounts, { metadata: { name: "default", namespace: NAMESPACE } });
  startDisruptionController(world.ports);
  await world.pass(300);
  return world;
}

async function runPod(
  world: Cluster,
  name: string,
  owner?: { readonly kind: string; readonly uid: string },
): Promise<Pod> {
  const reference = owner && { apiVersion: "apps/v1", name: "web", controller: true, ...owner };
  const made = await world.client.create<Pod>(resources.pods, {
    metadata: {
      name,
      namespace: NAMESPACE,
      labels: { app: "web" },
      ...(reference ? { ownerReferences: [reference] } : {}),
    },
    spec: { nodeName: "n", containers: [{ name: "c", image: "web" }] },
  });
  const status = { phase: "Running", conditions: ready };
  return world.client.update(resources.pods, { ...made, status }, { subresource: "status" });
}

const guard = (world: Cluster, spec: Partial<PodDisruptionBudget["spec"]>) =>
  world.client.create<PodDisruptionBudget>(resources.podDisruptionBudgets, {
    metadata: { name: "guard", namespace: NAMESPACE },
    spec: { selector: { matchLabels: { app: "web" } }, ...spec },
  });
const statusIn = async (world: Cluster) =>
  (await world.find(resources.podDisruptionBudgets, NAMESPACE, "guard"))?.status;
const evict = (world: Cluster, name: string) =>
  world.client.createSubresource(resources.pods, NAMESPACE, name, "eviction", { metadata: { name } });

const targeted = async (world: Cluster, name: string, reason: string): Promise<void> => {
  const pod = await runPod(world, name);
  const since = new Date(world.clock.now()).toISOString().replace(/\.\d+/, "");
  const target = { type: "DisruptionTarget", status: "True", reason, lastTransitionTime: since };
  const status = { ...pod.status, conditions: [...ready, target] };
  await world.client.update(resources.pods, { ...pod, status }, { subresource: "status" });
};
const targetOf = async (world: Cluster, name: string) =>
  (await world.find(resources.pods, NAMESPACE, name))?.status?.conditions?.find(
    ({ type }) => type === "DisruptionTarget",
  );

describe("the disruption controller", () => {
  it("takes back after two minutes that a pod is about to go, unless it goes, or its kubelet says so", async () => {
    const world = await started();
    await targeted(world, "spared", "PreemptionByScheduler");
    await targeted(world, "going", "EvictionByEvictionAPI");
    await targeted(world, "of-kubelet", "TerminationByKubelet");
    await world.client.delete(resources.pods, NAMESPACE, "going");
    await world.pass(110_000);
    expect(await targetOf(world, "spared")).toMatchObject({ status: "True", reason: "PreemptionByScheduler" });
    await world.pass(15_000);
    const target = await targetOf(world, "spared");
    expect([target?.status, target?.reason]).toEqual(["False", undefined]);
    for (const name of ["going", "of-kubelet"]) expect(await targetOf(world, name)).toMatchObject({ status: "True" });
    expect(world.failures).toEqual([]);
  });

  it("counts the pods of a budget, and again when one comes, serves or goes", async () => {
    const world = await started();
    await guard(world, { minAvailable: 1 });
    await world.pass(200);
    expect(await statusIn(world)).toMatchObject({ disruptionsAllowed: 0, expectedPods: 0, observedGeneration: 1 });
    await runPod(world, "one");
    await runPod(world, "two");
    await world.pass(200);
    expect(await statusIn(world)).toMatchObject({
      disruptionsAllowed: 1,
      currentHealthy: 2,
      desiredHealthy: 1,
      expectedPods: 2,
      conditions: [{ type: "DisruptionAllowed", status: "True", reason: "SufficientPods", observedGeneration: 1 }],
    });
    await evict(world, "one");
    await world.pass(200);
    expect(await statusIn(world)).toMatchObject({ disruptionsAllowed: 0, currentHealthy: 1 });
    await expect(evict(world, "two")).rejects.toThrow(
      "Cannot evict pod as it would violate the pod's disruption budget.",
    );
    await world.client.delete(resources.pods, NAMESPACE, "one", { gracePeriodSeconds: 0 });
    await world.pass(200);
    expect(await statusIn(world)).not.toHaveProperty("disruptedPods");
    expect(world.failures).toEqual([]);
  });

  it("takes a share of what the pods' owners want, not of what there is", async () => {
    const world = await started();
    const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image: "web" }] } };
    const selector = { matchLabels: { app: "web" } };
    const { metadata } = await world.client.create<ReplicaSet>(resources.replicaSets, {
      metadata: { name: "web", namespace: NAMESPACE },
      spec: { replicas: 10, selector, template },
    });
    const owner = { kind: "ReplicaSet", uid: metadata.uid ?? "" };
    for (const name of ["a", "b", "c", "d"]) await runPod(world, name, owner);
    await guard(world, { maxUnavailable: "65%" });
    await world.pass(300);
    expect(await statusIn(world)).toMatchObject({ expectedPods: 10, desiredHealthy: 3, disruptionsAllowed: 1 });
  });

  it("lets nothing through when it cannot know how many there should be", async () => {
    const world = await started();
    await runPod(world, "one", { kind: "ReplicaSet", uid: "gone" });
    await guard(world, { maxUnavailable: 1 });
    await world.pass(300);
    expect(await statusIn(world)).toMatchObject({
      disruptionsAllowed: 0,
      conditions: [{ status: "False", reason: "SyncFailed", message: 'found no controllers for pod "one"' }],
    });
  });

  it("keeps as many as it must, whatever is evicted, comes and is late", async () => {
    const step = fc.record({
      pod: fc.nat(4),
      act: fc.constantFrom("evict", "finish", "run"),
      waitMs: fc.constantFrom(0, 5, 200),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 20 }), async (steps) => {
        const world = await started();
        for (let index = 0; index < 5; index++) await runPod(world, `p${index}`);
        await guard(world, { minAvailable: 3 });
        await world.pass(200);
        for (const { pod, act, waitMs } of steps) {
          const name = `p${pod}`;
          const work = {
            evict: () => evict(world, name),
            run: () => runPod(world, name),
            finish: async () => {
              const found = await world.find(resources.pods, NAMESPACE, name);
              if (found?.metadata.deletionTimestamp === undefined) return;
              await world.client.delete(resources.pods, NAMESPACE, name, { gracePeriodSeconds: 0 });
            },
          }[act];
          await work().catch((error: unknown) => {
            const isExpected = (["TooManyRequests", "NotFound", "AlreadyExists"] as const).some((one) =>
              isStatus(error, one),
            );
            if (!isExpected) throw error;
          });
          const staying = (await world.all(resources.pods, NAMESPACE)).filter(
            ({ metadata }) => metadata.deletionTimestamp === undefined,
          );
          expect(staying.length).toBeGreaterThanOrEqual(3);
          if (waitMs > 0) await world.clock.advance(waitMs);
        }
        expect(world.failures).toEqual([]);
      }),
      { numRuns: 6 },
    );
  });
});

describe("a budget's plan", () => {
  const now = Date.parse("2026-01-01T00:05:00Z");
  const pod = (name: string): Pod => ({ metadata: { name }, spec: { containers: [] }, status: { conditions: ready } });
  const budget = (since: string): PodDisruptionBudget => ({
    metadata: { name: "guard", generation: 2 },
    spec: { minAvailable: 1 },
    status: {
      disruptedPods: { a: since },
      disruptionsAllowed: 0,
      currentHealthy: 0,
      desiredHealthy: 0,
      expectedPods: 0,
    },
  });

  it("takes an evicted pod as gone for two minutes, then says that it is not", () => {
    const fresh = plan(budget("2026-01-01T00:04:00Z"), [pod("a"), pod("b")], 0, now);
    expect(fresh.status).toMatchObject({ currentHealthy: 1, disruptedPods: { a: "2026-01-01T00:04:00Z" } });
    expect(fresh.recheckAtMs).toBe(Date.parse("2026-01-01T00:04:00Z") + DELETION_TIMEOUT_MS);
    const late = plan(budget("2026-01-01T00:02:00Z"), [pod("a"), pod("b")], 0, now);
    expect(late.status).toMatchObject({ currentHealthy: 2, disruptionsAllowed: 1, observedGeneration: 2 });
    expect(late.notDeleted.map(({ metadata }) => metadata.name)).toEqual(["a"]);
  });
});
