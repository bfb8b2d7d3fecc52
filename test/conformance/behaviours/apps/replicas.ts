/** ReplicaSets and Deployments: adoption, scale, rollouts, and what they keep of the past. */
import assert from "node:assert/strict";
import { WEB_IMAGE, WEB_V2_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { waitingPod, type Loose, type Resource, type Trial } from "../../trial.ts";

const named = (kind: string, rest: string): string => `[sig-apps] ${kind} ${rest} [Conformance]`;

function template(labels: object, image = WEB_IMAGE): object {
  const container = { name: "web", image, env: [{ name: "DRAIN_SECONDS", value: "0" }] };
  return { metadata: { labels }, spec: { terminationGracePeriodSeconds: 1, containers: [container] } };
}

function workload(name: string, replicas: number, spec: object = {}): object {
  const labels = { app: name };
  return {
    metadata: { name, labels },
    spec: { replicas, selector: { matchLabels: labels }, template: template(labels), ...spec },
  };
}

async function readyReplicas(t: Trial, objects: Resource, name: string, wanted: number): Promise<Loose> {
  return t.until(`${name} has ${wanted} ready replicas`, async () => {
    const found = await objects.get(name);
    const {
      readyReplicas: ready = 0,
      replicas = 0,
      observedGeneration = 0,
    } = found["status"] as Record<string, number>;
    return ready === wanted && replicas === wanted && observedGeneration >= (found.metadata.generation ?? 0) && found;
  });
}

/** GET, PUT and PATCH of scale, each seen in the object itself. */
async function scales(t: Trial, plural: string): Promise<void> {
  const objects = t.api("apps/v1", plural);
  await objects.create(workload("scaled", 1));
  await readyReplicas(t, objects, "scaled", 1);
  const scale = await objects.get("scaled", "scale");
  assert.equal(scale.kind, "Scale");
  assert.equal(scale["spec"].replicas, 1);
  const { resourceVersion: _dropped, ...metadata } = scale.metadata;
  const put = await objects.update({ ...scale, metadata, spec: { replicas: 2 } }, "scale");
  assert.equal(put["spec"].replicas, 2);
  assert.equal((await objects.get("scaled"))["spec"].replicas, 2);
  const patched = await objects.patch("scaled", { spec: { replicas: 4 } }, { subresource: "scale", type: "strategic" });
  assert.equal(patched["spec"].replicas, 4);
  assert.equal((await objects.get("scaled"))["spec"].replicas, 4);
}

/** Read, PUT and PATCH of the status, each told to a watch. */
async function showsStatus(t: Trial, plural: string): Promise<void> {
  const objects = t.api("apps/v1", plural);
  await objects.create(workload("shown", 1));
  await readyReplicas(t, objects, "shown", 1);
  const watch = await objects.watch({ fieldSelector: "metadata.name=shown" });
  const condition = { type: "StatusUpdate", status: "True", reason: "E2E", message: "Set from e2e test" };
  await t.until("the status is put", async () => {
    const now = await objects.get("shown", "status");
    const conditions = [...((now["status"].conditions as object[] | undefined) ?? []), condition];
    return objects.update({ ...now, status: { ...now["status"], conditions } }, "status").catch(() => undefined);
  });
  const has = (type: string) => (event: { object: Loose }) =>
    ((event.object["status"]?.conditions ?? []) as { type: string }[]).some((each) => each.type === type);
  await watch.next(has("StatusUpdate"));
  await objects.patch(
    "shown",
    { status: { conditions: [{ type: "StatusPatched", status: "True" }] } },
    { subresource: "status" },
  );
  await watch.next(has("StatusPatched"));
  watch.close();
}

async function setsOf(t: Trial, app: string): Promise<readonly Loose[]> {
  return (await t.api("apps/v1", "replicasets").list({ labelSelector: `app=${app}` })).items;
}

async function rolledOut(t: Trial, name: string): Promise<void> {
  await t.kubectl("rollout", "status", `deployment/${name}`, "--timeout=120s");
}

async function setImage(t: Trial, name: string, image: string): Promise<void> {
  const containers = [{ name: "web", image }];
  await t
    .api("apps/v1", "deployments")
    .patch(name, { spec: { template: { spec: { containers } } } }, { type: "strategic" });
}

export const replicas: Behaviours = {
  [named("ReplicaSet", "Replicaset should have a working scale subresource")]: (t) => scales(t, "replicasets"),
  [named("Deployment", "Deployment should have a working scale subresource")]: (t) => scales(t, "deployments"),
  [named("ReplicaSet", "should validate Replicaset Status endpoints")]: (t) => showsStatus(t, "replicasets"),
  [named("Deployment", "should validate Deployment Status endpoints")]: (t) => showsStatus(t, "deployments"),

  [named("ReplicaSet", "should serve a basic image on each replica with a public image")]: async (t) => {
    const sets = t.api("apps/v1", "replicasets");
    await sets.create(workload("basic", 1));
    await readyReplicas(t, sets, "basic", 1);
    const [pod] = (await t.api("v1", "pods").list({ labelSelector: "app=basic" })).items;
    const name = pod?.metadata.name ?? "";
    const path = `/api/v1/namespaces/${t.namespace}/pods/${name}/proxy/hostname`;
    const { status, text } = await t.client.send({ method: "GET", path });
    assert.deepEqual([status, text.trim()], [200, name]);
  },

  [named("ReplicaSet", "should adopt matching pods on creation and release no longer matching pods")]: async (t) => {
    const pods = t.api("v1", "pods");
    await pods.create(waitingPod("orphan", { labels: { app: "adopter" } }));
    const made = await t.api("apps/v1", "replicasets").create(workload("adopter", 1));
    const owner = async (): Promise<string | undefined> =>
      (await pods.get("orphan")).metadata.ownerReferences?.[0]?.uid;
    await t.until("it is adopted", async () => (await owner()) === made.metadata.uid);
    await pods.patch("orphan", { metadata: { labels: { app: "nobody" } } });
    await t.until("it is released", async () => (await owner()) === undefined);
  },

  [named("ReplicaSet", "Replace and Patch tests")]: async (t) => {
    const sets = t.api("apps/v1", "replicasets");
    await sets.create(workload("changing", 1));
    const first = await readyReplicas(t, sets, "changing", 1);
    await t.until("it is replaced", async () => {
      const now = await sets.get(first.metadata.name ?? "");
      return sets.update({ ...now, spec: { ...now["spec"], replicas: 2 } }).catch(() => undefined);
    });
    await readyReplicas(t, sets, "changing", 2);
    const patch = { metadata: { labels: { patched: "yes" } }, spec: { replicas: 3 } };
    assert.equal((await sets.patch("changing", patch, { type: "strategic" })).metadata.labels?.["patched"], "yes");
    await readyReplicas(t, sets, "changing", 3);
  },

  [named("ReplicaSet", "should list and delete a collection of ReplicaSets")]: async (t) => {
    const sets = t.api("apps/v1", "replicasets");
    for (const name of ["one", "two", "three"]) {
      const made = workload(name, 1) as Loose;
      await sets.create({ ...made, metadata: { ...made.metadata, labels: { collection: "yes" } } });
    }
    const labelSelector = "collection=yes";
    assert.equal((await sets.list({ labelSelector })).items.length, 3);
    await sets.deleteCollection({ labelSelector });
    await t.until("all are gone", async () => (await sets.list({ labelSelector })).items.length === 0);
  },

  [named("Deployment", "RollingUpdateDeployment should delete old pods and create new ones")]: async (t) => {
    const deployments = t.api("apps/v1", "deployments");
    await t.api("apps/v1", "replicasets").create(workload("rolling", 1));
    await readyReplicas(t, t.api("apps/v1", "replicasets"), "rolling", 1);
    const spec = { template: template({ app: "rolling" }, WEB_V2_IMAGE) };
    await deployments.create(workload("rolling", 1, spec));
    await rolledOut(t, "rolling");
    const sets = await setsOf(t, "rolling");
    assert.equal(sets.length, 2, "the ReplicaSet that was there is adopted");
    assert.equal(sets.find(({ metadata }) => metadata.name === "rolling")?.["spec"].replicas, 0);
  },

  [named("Deployment", "RecreateDeployment should delete old pods and create new ones")]: async (t) => {
    const deployments = t.api("apps/v1", "deployments");
    await deployments.create(workload("recreated", 2, { strategy: { type: "Recreate" } }));
    await rolledOut(t, "recreated");
    const watch = await t.api("v1", "pods").watch({ labelSelector: "app=recreated", resourceVersion: "0" });
    await setImage(t, "recreated", WEB_V2_IMAGE);
    await rolledOut(t, "recreated");
    const alive = new Map<string, string>();
    for (const { type, object } of watch.told) {
      const { name = "" } = object.metadata;
      const ended = type === "DELETED" || ["Succeeded", "Failed"].includes(object["status"]?.phase as string);
      if (ended) alive.delete(name);
      else if (object["status"]?.phase === "Running") alive.set(name, object["spec"].containers[0].image as string);
      assert.ok(new Set(alive.values()).size <= 1, "old and new pods ran at once");
    }
    watch.close();
  },

  [named("Deployment", "deployment should delete old replica sets")]: async (t) => {
    await t.api("apps/v1", "deployments").create(workload("tidy", 1, { revisionHistoryLimit: 0 }));
    await rolledOut(t, "tidy");
    await setImage(t, "tidy", WEB_V2_IMAGE);
    await rolledOut(t, "tidy");
    await t.until("the old ReplicaSet is deleted", async () => (await setsOf(t, "tidy")).length === 1);
  },

  [named("Deployment", "deployment should support rollover")]: async (t) => {
    const deployments = t.api("apps/v1", "deployments");
    const spec = { minReadySeconds: 2, strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } } };
    await deployments.create(workload("rolled", 1, spec));
    await rolledOut(t, "rolled");
    await setImage(t, "rolled", "pilothouse.local/nobody-has-this:v0");
    await t.until("the rollout has begun", async () => (await setsOf(t, "rolled")).length === 2);
    await setImage(t, "rolled", WEB_V2_IMAGE);
    await rolledOut(t, "rolled");
    const withPods = (await setsOf(t, "rolled")).filter(({ spec: found }) => (found.replicas as number) > 0);
    assert.equal(withPods.length, 1);
  },

  [named("Deployment", "deployment should support proportional scaling")]: async (t) => {
    const deployments = t.api("apps/v1", "deployments");
    const spec = { strategy: { rollingUpdate: { maxUnavailable: 2, maxSurge: 3 } } };
    await deployments.create(workload("proportional", 10, spec));
    await rolledOut(t, "proportional");
    await setImage(t, "proportional", "pilothouse.local/nobody-has-this:v0");
    const sizes = async (): Promise<readonly number[]> =>
      (await setsOf(t, "proportional")).map(({ spec: found }) => found.replicas as number).sort((a, b) => a - b);
    await t.until("the rollout is stuck at its bounds", async () => (await sizes()).join() === "5,8");
    await deployments.patch("proportional", { spec: { replicas: 30 } });
    await t.until("both grow in proportion", async () => (await sizes()).join() === "13,20");
  },

  [named("Deployment", "should run the lifecycle of a Deployment")]: async (t) => {
    const deployments = t.api("apps/v1", "deployments");
    const watch = await deployments.watch({ labelSelector: "app=lived" });
    await deployments.create(workload("lived", 2));
    await watch.next(({ object }) => object["status"]?.readyReplicas === 2);
    const containers = [{ name: "web", image: WEB_V2_IMAGE }];
    const patch = {
      metadata: { labels: { patched: "yes" } },
      spec: { replicas: 3, template: { spec: { containers } } },
    };
    await deployments.patch("lived", patch, { type: "strategic" });
    await watch.next(({ object }) => object["status"]?.readyReplicas === 3 && object["status"]?.updatedReplicas === 3);
    const everywhere = await t.clusterApi("apps/v1", "deployments").list({ labelSelector: "app=lived,patched=yes" });
    assert.equal(everywhere.items.length, 1);
    const status = { status: { readyReplicas: 0, availableReplicas: 0 } };
    await deployments.patch("lived", status, { subresource: "status" });
    await watch.next(({ object }) => object["status"]?.readyReplicas === 3);
    await deployments.deleteCollection({ labelSelector: "app=lived" });
    await watch.next(({ type }) => type === "DELETED");
    watch.close();
  },
};
