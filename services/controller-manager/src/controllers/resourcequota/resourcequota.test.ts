import type { Pod, ResourceQuota } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { isStatus } from "@pilothouse/errors";
import { evaluatorOf } from "@pilothouse/kinds/quota/usage";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { nextForgottenMs, statusOf } from "./plan.ts";
import { startResourceQuotaController } from "./reconcile.ts";

const NAMESPACE = "default";
let open: Cluster[] = [];
afterEach(async () => {
  for (const world of open) await world.close();
  open = [];
});

async function started(seed?: string): Promise<Cluster> {
  const world = await cluster(seed);
  open.push(world);
  await world.client.create(resources.serviceAccounts, { metadata: { name: "default", namespace: NAMESPACE } });
  startResourceQuotaController(world.ports);
  await world.pass(500);
  return world;
}

const limit = (world: Cluster, hard: Record<string, string>, more: object = {}) =>
  world.client.create<ResourceQuota>(resources.resourceQuotas, {
    metadata: { name: "q", namespace: NAMESPACE },
    spec: { hard, ...more },
  });
const pod = (name: string, cpu?: string): Pod => ({
  metadata: { name, namespace: NAMESPACE },
  spec: { containers: [{ name: "c", image: "web", ...(cpu ? { resources: { requests: { cpu } } } : {}) }] },
});
const statusIn = async (world: Cluster) => (await world.find(resources.resourceQuotas, NAMESPACE, "q"))?.status;

describe("the resourcequota controller", () => {
  it("counts what is there when a quota comes, and counts again when it limits something else", async () => {
    const world = await started();
    await world.client.create(resources.pods, pod("old", "300m"));
    await limit(world, { pods: "5", "requests.cpu": "1", configmaps: "3" });
    await world.pass(300);
    expect(await statusIn(world)).toEqual({
      hard: { configmaps: "3", pods: "5", "requests.cpu": "1" },
      used: { configmaps: "0", pods: "1", "requests.cpu": "300m" },
    });
    const body = {
      spec: { hard: { pods: "7", "count/deployments.apps": "1", "requests.cpu": null, configmaps: null } },
    };
    await world.client.patch(resources.resourceQuotas, NAMESPACE, "q", { type: "application/merge-patch+json", body });
    await world.pass(300);
    expect(await statusIn(world)).toEqual({
      hard: { "count/deployments.apps": "1", pods: "7" },
      used: { "count/deployments.apps": "0", pods: "1" },
    });
    expect(world.failures).toEqual([]);
  });

  it("gives back what is gone or has ended, soon", async () => {
    const world = await started();
    await limit(world, { pods: "5", configmaps: "3", "count/secrets": "2" });
    await world.pass(300);
    const metadata = { name: "x", namespace: NAMESPACE };
    await world.client.create(resources.configMaps, { metadata });
    await world.client.create(resources.secrets, { metadata });
    await world.client.create(resources.pods, pod("a"));
    const ended = await world.client.create(resources.pods, pod("b"));
    expect((await statusIn(world))?.used).toEqual({ configmaps: "1", "count/secrets": "1", pods: "2" });
    await world.client.update(resources.pods, { ...ended, status: { phase: "Succeeded" } }, { subresource: "status" });
    await world.client.delete(resources.configMaps, NAMESPACE, "x");
    await world.client.delete(resources.secrets, NAMESPACE, "x");
    await world.client.delete(resources.pods, NAMESPACE, "a");
    await world.pass(300);
    expect((await statusIn(world))?.used).toEqual({ configmaps: "0", "count/secrets": "0", pods: "0" });
  });

  it("never gives back what a cache does not show", async () => {
    const world = await started();
    await limit(world, { pods: "1" });
    await world.pass(300);
    world.frozen.add("pods");
    await world.client.create(resources.pods, pod("unseen"));
    const touch = { type: "application/merge-patch+json", body: { spec: { hard: { configmaps: "1" } } } } as const;
    await world.client.patch(resources.resourceQuotas, NAMESPACE, "q", touch);
    await world.pass(2_000);
    expect((await statusIn(world))?.used).toEqual({ pods: "1" });
    world.frozen.clear();
    await world.pass(5_000);
    expect((await statusIn(world))?.used).toEqual({ configmaps: "0", pods: "1" });
  });

  it("lets nobody past a quota, whatever comes and goes meanwhile, and is exact in the end", async () => {
    const step = fc.record({
      name: fc.integer({ min: 0, max: 5 }),
      creates: fc.boolean(),
      waitMs: fc.constantFrom(0, 1, 60),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        const world = await started(JSON.stringify(steps));
        await limit(world, { pods: "2" });
        await world.pass(300);
        for (const { name, creates, waitMs } of steps) {
          const work = creates
            ? world.client.create(resources.pods, pod(`p${name}`))
            : world.client.delete(resources.pods, NAMESPACE, `p${name}`, { gracePeriodSeconds: 0 });
          await (work as Promise<unknown>).catch((error: unknown) => {
            if (!["Forbidden", "AlreadyExists", "NotFound"].some((reason) => isStatus(error, reason as "NotFound")))
              throw error;
          });
          expect((await world.all(resources.pods, NAMESPACE)).length).toBeLessThanOrEqual(2);
          if (waitMs > 0) await world.clock.advance(waitMs);
        }
        await world.pass(2_000);
        const left = (await world.all(resources.pods, NAMESPACE)).length;
        expect((await statusIn(world))?.used).toEqual({ pods: String(left) });
        expect(world.failures).toEqual([]);
      }),
      { numRuns: 6 },
    );
  });
});

describe("a quota's count", () => {
  const evaluator = evaluatorOf({ group: "", resource: "pods" });
  if (!evaluator) throw new Error("pods cost nothing");
  const now = Date.parse("2026-01-01T00:01:00Z");

  it("takes pods of its scope only, and none that should have gone", () => {
    const quota = { metadata: {}, spec: { hard: { pods: "9", cpu: "1" }, scopes: ["NotBestEffort"] } };
    const leaving = { deletionTimestamp: "2026-01-01T00:00:50Z", deletionGracePeriodSeconds: 5 };
    const late = pod("late", "1");
    const objects = [pod("best effort"), pod("one", "500m"), { ...late, metadata: { ...late.metadata, ...leaving } }];
    const counted = [{ type: resources.pods, evaluator, objects }];
    expect(statusOf(quota, counted, now).used).toEqual({ cpu: "500m", pods: "1" });
    expect(nextForgottenMs(counted, now)).toBeUndefined();
    expect(nextForgottenMs(counted, now - 10_000)).toBe(Date.parse("2026-01-01T00:00:55Z"));
  });
});
