/** Deployments and Services against the real apiserver: its defaults, its validation, its feed on the bus, its traces. */
import type { Deployment } from "@pilothouse/api/types/apps-v1";
import { resources } from "@pilothouse/client";
import { afterEach, expect, it } from "vitest";
import { cluster, type Cluster } from "./cluster.fixture.ts";
import { live } from "./pods.fixture.ts";
import { startDeploymentController } from "./controllers/deployment/reconcile.ts";
import { startEndpointsController } from "./controllers/endpoints/reconcile.ts";
import { startEndpointSliceController } from "./controllers/endpointslice/reconcile.ts";
import { startReplicaSetController } from "./controllers/replicaset/reconcile.ts";

const open: Cluster[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

async function started(): Promise<Cluster> {
  const made = await cluster("rollout");
  open.push(made);
  for (const start of [
    startReplicaSetController,
    startDeploymentController,
    startEndpointSliceController,
    startEndpointsController,
  ])
    start(made.ports);
  await made.client.create(resources.serviceAccounts, { metadata: { name: "default", namespace: "default" } });
  return made;
}

function deployment(image: string, replicas: number): Deployment {
  const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image }] } };
  return {
    metadata: { name: "web", namespace: "default" },
    spec: { replicas, selector: { matchLabels: { app: "web" } }, template },
  };
}

it("rolls out, serves, scales and rolls back, in one trace, by the bus, and then is quiet", async () => {
  const made = await started();
  const { client, telemetry, failures, ports } = made;
  await made.pass(3_000);
  const cause = telemetry.tracer.start("kubectl apply");
  await client.create(resources.deployments, deployment("web:1", 3), { trace: cause.context });
  const ports80 = [{ port: 80, targetPort: 80 }];
  await client.create(resources.services, {
    metadata: { name: "web", namespace: "default" },
    spec: { selector: { app: "web" }, ports: ports80 },
  });
  await live(made, 15);
  const status = async () => (await made.find(resources.deployments, "default", "web"))?.status;
  expect(await status()).toMatchObject({ replicas: 3, updatedReplicas: 3, availableReplicas: 3 });
  const backends = async (): Promise<number> =>
    (await made.all(resources.endpointSlices)).filter(({ metadata }) => metadata.generateName === "web-")[0]?.endpoints
      .length ?? 0;
  expect(await backends()).toBe(3);

  const mine = telemetry.spans.filter(({ context }) => context.traceId === cause.context.traceId);
  const names = mine.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(["deployment reconcile", "create replicasets", "replicaset reconcile", "create pods"]),
  );

  const change = (spec: object) =>
    client.patch(resources.deployments, "default", "web", { type: "application/merge-patch+json", body: { spec } });
  for (const replicas of [10, 2]) {
    await change({ replicas });
    await live(made, 15);
    expect(await status()).toMatchObject({ replicas, availableReplicas: replicas });
    expect(await backends()).toBe(replicas);
  }
  for (const image of ["web:2", "web:1"]) {
    await change({ template: deployment(image, 0).spec.template });
    await live(made, 25);
    expect((await made.all(resources.pods)).map(({ spec }) => spec.containers[0]?.image)).toEqual([image, image]);
  }
  const web = await made.find(resources.deployments, "default", "web");
  expect(web?.metadata.annotations).toMatchObject({ "deployment.kubernetes.io/revision": "3" });
  expect(await made.all(resources.replicaSets)).toHaveLength(2);

  const { changesByBus, changesByHttp, resumes } = ports.informers.pods.stats;
  expect(changesByBus / (changesByBus + changesByHttp)).toBeGreaterThan(0.9);
  expect(resumes).toBeLessThanOrEqual(1);

  const writes = made.writes.length;
  await made.pass(30_000);
  expect(made.writes.slice(writes)).toEqual([]);
  expect(failures).toEqual([]);
});
