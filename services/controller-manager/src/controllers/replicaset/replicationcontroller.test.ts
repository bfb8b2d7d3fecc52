/** What the conformance suite asks of ReplicationControllers, against the real apiserver. */
import type { Pod, ReplicationController } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { StatusError } from "@pilothouse/errors";
import { afterEach, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { live } from "../../pods.fixture.ts";
import { startReplicaSetController, startReplicationController } from "./reconcile.ts";

const open: Cluster[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

const labels = { name: "web" };
const containers = [{ name: "web", image: "web:1" }];
const merge = (body: object) => ({ type: "application/merge-patch+json", body }) as const;

async function started(): Promise<Cluster> {
  const made = await cluster("replication");
  open.push(made);
  startReplicationController(made.ports);
  // It must not be taken for a ReplicaSet by the other of its family.
  startReplicaSetController(made.ports);
  await made.client.create(resources.serviceAccounts, { metadata: { name: "default", namespace: "default" } });
  return made;
}

function controller(replicas: number): ReplicationController {
  const template = { metadata: { labels }, spec: { containers } };
  return { metadata: { name: "web", namespace: "default" }, spec: { replicas, selector: labels, template } };
}

const controllerNow = async (made: Cluster): Promise<ReplicationController | undefined> =>
  made.find(resources.replicationControllers, "default", "web");

it("makes its pods, follows its scale, and tells its status", async () => {
  const made = await started();
  await made.client.create(resources.replicationControllers, controller(2));
  await live(made, 10);
  const pods = await made.all(resources.pods);
  expect(pods).toHaveLength(2);
  expect(pods[0]?.metadata).toMatchObject({
    name: expect.stringMatching(/^web-[b-z2-9]{5}$/),
    labels,
    ownerReferences: [{ apiVersion: "v1", kind: "ReplicationController", name: "web", controller: true }],
  });
  const { status } = (await controllerNow(made)) ?? {};
  expect(status).toEqual({
    replicas: 2,
    fullyLabeledReplicas: 2,
    readyReplicas: 2,
    availableReplicas: 2,
    observedGeneration: 1,
  });
  const path = "/api/v1/namespaces/default/replicationcontrollers/web/scale";
  const scale = JSON.parse(new TextDecoder().decode(await made.client.raw("GET", path))) as {
    spec: { replicas: number };
    status: { selector: string };
  };
  expect([scale.spec.replicas, scale.status.selector]).toEqual([2, "name=web"]);
  const { client } = made;
  await client.patch(resources.replicationControllers, "default", "web", merge({ spec: { replicas: 1 } }), {
    subresource: "scale",
  });
  await live(made, 10);
  expect(await made.all(resources.pods)).toHaveLength(1);
  const told = (await made.all(resources.events)).map(({ reason, message, source }) => [
    reason,
    message?.replace(/web-\w+/, "web-*"),
    source?.component,
  ]);
  expect(told).toContainEqual(["SuccessfulCreate", "Created pod: web-*", "replication-controller"]);
  expect(told).toContainEqual(["SuccessfulDelete", "Deleted pod: web-*", "replication-controller"]);
  const writes = made.writes.length;
  await made.pass(5_000);
  expect([made.writes.slice(writes), made.failures]).toEqual([[], []]);
});

it("adopts a pod that matches, and lets one go that does not match any more", async () => {
  const made = await started();
  const metadata = { name: "stray", namespace: "default", labels };
  await made.client.create<Pod>(resources.pods, { metadata, spec: { containers } });
  await made.client.create(resources.replicationControllers, controller(1));
  await live(made, 10);
  const [stray, ...others] = await made.all(resources.pods);
  expect([stray?.metadata.name, stray?.metadata.ownerReferences?.[0]?.kind, others]).toEqual([
    "stray",
    "ReplicationController",
    [],
  ]);
  await made.client.patch(resources.pods, "default", "stray", merge({ metadata: { labels: { name: "other" } } }));
  await live(made, 10);
  const released = await made.find(resources.pods, "default", "stray");
  expect(released?.metadata.ownerReferences).toBeUndefined();
  expect(await made.all(resources.pods)).toHaveLength(2);
});

it("says that its quota is used up, until it is not", async () => {
  const made = await started();
  const isPodCreate = (method: string, path: string): boolean => method === "POST" && /\/pods(\?|$)/.test(path);
  made.intercept = ({ method, path }) => {
    if (isPodCreate(method, path)) throw new StatusError(403, "Forbidden", "exceeded quota: condition-test");
  };
  await made.client.create(resources.replicationControllers, controller(3));
  await live(made, 5);
  expect((await controllerNow(made))?.status?.conditions).toMatchObject([
    { type: "ReplicaFailure", status: "True", reason: "FailedCreate", message: "exceeded quota: condition-test" },
  ]);
  made.intercept = undefined;
  await live(made, 100);
  expect((await controllerNow(made))?.status).not.toHaveProperty("conditions");
  expect(await made.all(resources.pods)).toHaveLength(3);
});
