import type { Deployment } from "@pilothouse/api/types/apps-v1";
import type { HorizontalPodAutoscaler, MetricSpec } from "@pilothouse/api/types/autoscaling-v2";
import { resources } from "@pilothouse/client";
import { afterEach, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import type { MetricsReader } from "./metrics.ts";
import { startHorizontalPodAutoscalerController } from "./reconcile.ts";

const opened: Cluster[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

const CPU: MetricSpec = {
  type: "Resource",
  resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } },
};
const QUEUE: MetricSpec = {
  type: "External",
  external: { metric: { name: "queue" }, target: { type: "AverageValue", averageValue: "10" } },
};

/** A queue that somebody else measures. */
function queue(): { length: number; readonly reader: MetricsReader } {
  const nothing = (): never => {
    throw new Error("not measured here");
  };
  const made = {
    length: 10,
    reader: { resource: nothing, pods: nothing, object: nothing, external: async () => made.length * 1_000 },
  };
  return made;
}

async function started(metric: MetricSpec, metrics?: MetricsReader): Promise<Cluster> {
  const world = await cluster("autoscaler", metrics ? { metrics } : {});
  opened.push(world);
  await world.client.create<Deployment>(resources.deployments, {
    metadata: { name: "web", namespace: "default" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image: "web" }] } },
    },
  });
  await world.client.create<HorizontalPodAutoscaler>(resources.horizontalPodAutoscalers, {
    metadata: { name: "web", namespace: "default" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
      minReplicas: 1,
      maxReplicas: 5,
      metrics: [metric],
    },
  });
  await world.pass(200);
  startHorizontalPodAutoscalerController(world.ports);
  await world.pass(1_000);
  return world;
}

const replicas = async (world: Cluster): Promise<number | undefined> =>
  (await world.find(resources.deployments, "default", "web"))?.spec.replicas;
const status = async (world: Cluster) =>
  (await world.find(resources.horizontalPodAutoscalers, "default", "web"))?.status;
const reasons = async (world: Cluster) => (await world.all(resources.events)).map(({ reason }) => reason);

it("says what it cannot do while nobody serves metrics, and writes that once", async () => {
  const world = await started(CPU);
  const told = (await status(world))?.conditions?.find(({ type }) => type === "ScalingActive");
  expect(told).toMatchObject({
    status: "False",
    reason: "FailedGetResourceMetric",
    message:
      "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: " +
      "unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)",
  });
  expect(await replicas(world)).toBe(1);
  const isStatus = (write: string): boolean => write.includes("horizontalpodautoscalers");
  const before = world.writes.filter(isStatus).length;
  await world.pass(60_000);
  expect(world.writes.filter(isStatus)).toHaveLength(before);
  expect(await reasons(world)).toEqual(
    expect.arrayContaining(["FailedGetResourceMetric", "FailedComputeMetricsReplicas"]),
  );
});

it("follows the load up at once and down after five minutes, within bounds, and says so", async () => {
  const load = queue();
  const world = await started(QUEUE, load.reader);
  expect(await replicas(world)).toBe(1);
  load.length = 38;
  await world.pass(20_000);
  expect(await replicas(world)).toBe(4);
  expect(await status(world)).toMatchObject({ desiredReplicas: 4, lastScaleTime: expect.any(String) as string });
  load.length = 900;
  await world.pass(20_000);
  expect(await replicas(world)).toBe(5);
  load.length = 8;
  await world.pass(240_000);
  expect(await replicas(world)).toBe(5);
  await world.pass(120_000);
  expect(await replicas(world)).toBe(1);
  expect(await reasons(world)).toContain("SuccessfulRescale");
  expect(world.failures).toEqual([]);
});

it("a target that is not there, and one that has no scale", async () => {
  const world = await started(QUEUE, queue().reader);
  const retarget = async (kind: string, name: string) => {
    const body = { spec: { scaleTargetRef: { apiVersion: kind === "Job" ? "batch/v1" : "apps/v1", kind, name } } };
    await world.client.patch(resources.horizontalPodAutoscalers, "default", "web", {
      type: "application/merge-patch+json",
      body,
    });
    await world.pass(1_000);
    return (await status(world))?.conditions?.find(({ type }) => type === "AbleToScale");
  };
  const base = "the HPA controller was unable to get the target's current scale: ";
  expect(await retarget("Deployment", "gone")).toMatchObject({
    status: "False",
    reason: "FailedGetScale",
    message: `${base}deployments.apps "gone" not found`,
  });
  expect((await retarget("Job", "web"))?.reason).toBe("FailedGetScale");
  expect((await retarget("Nonsense", "web"))?.message).toBe(
    `${base}no matches for kind "Nonsense" in version "apps/v1"`,
  );
});
