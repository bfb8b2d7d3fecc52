/** StatefulSets, DaemonSets and ReplicationControllers. */
import assert from "node:assert/strict";
import { WEB_IMAGE, WEB_V2_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { waitingPod, type Loose, type Resource, type Trial } from "../../trial.ts";
import { exercise } from "../exercise.ts";
import { webPod } from "../network/services.ts";

const set = (rest: string): string =>
  `[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] ${rest} [Conformance]`;
const daemon = (rest: string): string => `[sig-apps] Daemon set [Serial] ${rest} [Conformance]`;
const rc = (rest: string): string => `[sig-apps] ReplicationController ${rest} [Conformance]`;

/** Ready while its file is there, so that a test can make it sick. */
function template(labels: object, image = WEB_IMAGE): object {
  const [web] = webPod("x")["spec"].containers as [object];
  const readinessProbe = { exec: { command: ["test", "!", "-f", "/tmp/sick"] }, periodSeconds: 1, failureThreshold: 1 };
  return {
    metadata: { labels },
    spec: { terminationGracePeriodSeconds: 1, containers: [{ ...web, name: "web", image, readinessProbe }] },
  };
}

async function makeSet(t: Trial, name: string, replicas: number, spec: object = {}): Promise<Resource> {
  const labels = { app: name };
  await t
    .api("v1", "services")
    .create({ metadata: { name }, spec: { clusterIP: "None", selector: labels, ports: [{ port: 80 }] } });
  const sets = t.api("apps/v1", "statefulsets");
  const body = { serviceName: name, replicas, selector: { matchLabels: labels }, template: template(labels), ...spec };
  await sets.create({ metadata: { name, labels }, spec: body });
  return sets;
}

async function readyCount(t: Trial, name: string, wanted: number): Promise<Loose> {
  return t.until(`${name} has ${wanted} ready pods`, async () => {
    const found = await t.api("apps/v1", "statefulsets").get(name);
    const { readyReplicas = 0, replicas = 0 } = found["status"] as Record<string, number>;
    return readyReplicas === wanted && replicas === wanted && found;
  });
}

const scale = (sets: Resource, name: string, replicas: number): Promise<Loose> =>
  sets.patch(name, { spec: { replicas } });

async function sick(t: Trial, pod: string, isSick: boolean): Promise<void> {
  await t.exec(pod, ...(isSick ? ["touch", "/tmp/sick"] : ["rm", "-f", "/tmp/sick"]));
}

async function staysAt(t: Trial, name: string, pods: number): Promise<void> {
  for (let i = 0; i < 10; i++) {
    const { items } = await t.api("v1", "pods").list({ labelSelector: `app=${name}` });
    assert.equal(items.filter(({ metadata }) => metadata.deletionTimestamp === undefined).length, pods);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

async function images(t: Trial, app: string): Promise<Readonly<Record<string, string>>> {
  const { items } = await t.api("v1", "pods").list({ labelSelector: `app=${app}` });
  return Object.fromEntries(
    items
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata, spec }) => [metadata.name ?? "", spec.containers[0].image as string]),
  );
}

async function setImage(sets: Resource, name: string, image: string): Promise<Loose> {
  const containers = [{ name: "web", image }];
  return sets.patch(name, { spec: { template: { spec: { containers } } } }, { type: "strategic" });
}

async function updated(t: Trial, sets: Resource, name: string): Promise<Loose> {
  return t.until(
    `${name} is updated`,
    async () => {
      const found = await sets.get(name);
      const {
        currentRevision,
        updateRevision,
        updatedReplicas = 0,
        readyReplicas = 0,
        observedGeneration = 0,
      } = found["status"] as {
        currentRevision: string;
        updateRevision: string;
        updatedReplicas?: number;
        readyReplicas?: number;
        observedGeneration?: number;
      };
      const replicas = found["spec"].replicas as number;
      const isSeen = observedGeneration >= (found.metadata.generation ?? 0);
      return (
        isSeen &&
        currentRevision === updateRevision &&
        readyReplicas === replicas &&
        (updatedReplicas === replicas || updatedReplicas === 0) &&
        found
      );
    },
    180_000,
  );
}

/** Status read, put and patched; each is seen. */
async function showsStatus(objects: Resource, name: string, t: Trial): Promise<void> {
  const condition = { type: "StatusUpdate", status: "True", reason: "E2E", message: "Set from e2e test" };
  await t.until("the status is put", async () => {
    const now = await objects.get(name, "status");
    const conditions = [...((now["status"].conditions as object[] | undefined) ?? []), condition];
    return objects.update({ ...now, status: { ...now["status"], conditions } }, "status").catch(() => undefined);
  });
  const types = async (): Promise<readonly string[]> =>
    ((await objects.get(name, "status"))["status"].conditions as { type: string }[]).map(({ type }) => type);
  assert.ok((await types()).includes("StatusUpdate"));
  await objects.patch(
    name,
    { status: { conditions: [{ type: "StatusPatched", status: "True" }] } },
    { subresource: "status" },
  );
  assert.ok((await types()).includes("StatusPatched"));
}

async function makeDaemon(t: Trial, name: string, spec: object = {}): Promise<Resource> {
  const labels = { app: name };
  const daemons = t.api("apps/v1", "daemonsets");
  await daemons.create({
    metadata: { name, labels },
    spec: { selector: { matchLabels: labels }, template: template(labels), ...spec },
  });
  return daemons;
}

async function runsEverywhere(t: Trial, name: string): Promise<Loose> {
  return t.until(`${name} runs on every node that it wants`, async () => {
    const found = await t.api("apps/v1", "daemonsets").get(name);
    const {
      desiredNumberScheduled: wanted = 0,
      numberReady = 0,
      updatedNumberScheduled = 0,
      observedGeneration = 0,
    } = found["status"] as Record<string, number>;
    const isSeen = observedGeneration >= (found.metadata.generation ?? 0);
    return isSeen && wanted > 0 && numberReady === wanted && updatedNumberScheduled === wanted && found;
  });
}

async function makeController(t: Trial, name: string, replicas: number): Promise<Resource> {
  const controllers = t.api("v1", "replicationcontrollers");
  const labels = { app: name };
  await controllers.create({
    metadata: { name, labels },
    spec: { replicas, selector: labels, template: template(labels) },
  });
  return controllers;
}

async function controllerReady(t: Trial, name: string, wanted: number): Promise<void> {
  await t.until(`${name} has ${wanted} ready replicas`, async () => {
    return (await t.api("v1", "replicationcontrollers").get(name))["status"].readyReplicas === wanted;
  });
}

export const sets: Behaviours = {
  [set("Scaling should happen in predictable order and halt if any stateful pod is unhealthy [Slow]")]: async (t) => {
    const all = await makeSet(t, "ordered", 1);
    await readyCount(t, "ordered", 1);
    await sick(t, "ordered-0", true);
    await t.until(
      "it is not ready",
      async () =>
        (await all.get("ordered"))["status"].readyReplicas === undefined ||
        (await all.get("ordered"))["status"].readyReplicas === 0,
    );
    await scale(all, "ordered", 3);
    await staysAt(t, "ordered", 1);
    const watch = await t.api("v1", "pods").watch({
      labelSelector: "app=ordered",
      resourceVersion: (await t.api("v1", "pods").list()).metadata.resourceVersion,
    });
    await sick(t, "ordered-0", false);
    await readyCount(t, "ordered", 3);
    const made = watch.told.filter(({ type }) => type === "ADDED").map(({ object }) => object.metadata.name);
    assert.deepEqual(made, ["ordered-1", "ordered-2"]);
    const everyPod = ["ordered-0", "ordered-1", "ordered-2"];
    for (const pod of everyPod) await sick(t, pod, true);
    await t.until("none is ready", async () => ((await all.get("ordered"))["status"].readyReplicas ?? 0) === 0);
    await scale(all, "ordered", 0);
    await staysAt(t, "ordered", 3);
    // The last first: the only sick one goes without waiting, and it must not be gone before it is told.
    for (const pod of ["ordered-2", "ordered-1"]) await sick(t, pod, false);
    await readyCount(t, "ordered", 0);
    const gone = watch.told.filter(({ type }) => type === "DELETED").map(({ object }) => object.metadata.name);
    assert.deepEqual(gone, ["ordered-2", "ordered-1", "ordered-0"]);
    watch.close();
  },
  [set("Burst scaling should run to completion even with unhealthy pods [Slow]")]: async (t) => {
    const all = await makeSet(t, "burst", 1, { podManagementPolicy: "Parallel" });
    await readyCount(t, "burst", 1);
    await sick(t, "burst-0", true);
    await scale(all, "burst", 3);
    await t.until("all are made", async () => (await all.get("burst"))["status"].replicas === 3);
    await sick(t, "burst-0", false);
    await readyCount(t, "burst", 3);
    await sick(t, "burst-0", true);
    await scale(all, "burst", 0);
    await readyCount(t, "burst", 0);
  },
  [set("Should recreate evicted statefulset")]: async (t) => {
    const pods = t.api("v1", "pods");
    const { items } = await t.clusterApi("v1", "nodes").list();
    const node = items.find(({ spec }) => ((spec?.taints ?? []) as unknown[]).length === 0)?.metadata.name ?? "";
    const ports = [{ containerPort: 21017, hostPort: 21017, name: "conflict" }];
    await pods.create(
      waitingPod("in-the-way", { pod: { nodeName: node, terminationGracePeriodSeconds: 1 }, container: { ports } }),
    );
    await t.ready("in-the-way");
    const body = template({ app: "evicted" }) as Loose;
    body["spec"].containers[0].ports = ports;
    body["spec"].nodeName = node;
    const watch = await pods.watch({ fieldSelector: "metadata.name=evicted-0" });
    await makeSet(t, "evicted", 1, { template: body });
    const failed = await watch.next(({ object }) => object["status"]?.phase === "Failed");
    await watch.next(({ type, object }) => type === "DELETED" && object.metadata.uid === failed.object.metadata.uid);
    await pods.delete("in-the-way");
    await t.until("it runs", async () => {
      const found = await pods.get("evicted-0");
      return found["status"].phase === "Running" && found.metadata.uid !== failed.object.metadata.uid;
    });
    watch.close();
  },
  [set("should perform rolling updates and roll backs of template modifications")]: async (t) => {
    const all = await makeSet(t, "rolling", 3);
    const before = await readyCount(t, "rolling", 3);
    const { currentRevision } = (await updated(t, all, "rolling"))["status"] as { currentRevision: string };
    assert.equal(before["status"].updateRevision as string, currentRevision);
    await setImage(all, "rolling", WEB_V2_IMAGE);
    const after = await updated(t, all, "rolling");
    assert.notEqual(after["status"].currentRevision, currentRevision);
    assert.deepEqual(new Set(Object.values(await images(t, "rolling"))), new Set([WEB_V2_IMAGE]));
    await setImage(all, "rolling", WEB_IMAGE);
    assert.equal((await updated(t, all, "rolling"))["status"].currentRevision, currentRevision);
    assert.deepEqual(new Set(Object.values(await images(t, "rolling"))), new Set([WEB_IMAGE]));
  },
  [set("should perform canary updates and phased rolling updates of template modifications")]: async (t) => {
    const partitioned = (partition: number): object => ({
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition } },
    });
    const all = await makeSet(t, "phased", 3, partitioned(3));
    await readyCount(t, "phased", 3);
    await setImage(all, "phased", WEB_V2_IMAGE);
    const isAt = async (...wanted: readonly string[]): Promise<void> => {
      await t.until(`the images are ${wanted.join()}`, async () => {
        const found = await images(t, "phased");
        return ["phased-0", "phased-1", "phased-2"].map((name) => found[name]).join() === wanted.join();
      });
      await readyCount(t, "phased", 3);
    };
    await staysAt(t, "phased", 3);
    await isAt(WEB_IMAGE, WEB_IMAGE, WEB_IMAGE);
    await all.patch("phased", { spec: partitioned(2) });
    await isAt(WEB_IMAGE, WEB_IMAGE, WEB_V2_IMAGE);
    await t.api("v1", "pods").delete("phased-0");
    await t.api("v1", "pods").delete("phased-2");
    await isAt(WEB_IMAGE, WEB_IMAGE, WEB_V2_IMAGE);
    await all.patch("phased", { spec: partitioned(0) });
    await isAt(WEB_V2_IMAGE, WEB_V2_IMAGE, WEB_V2_IMAGE);
  },
  [set("should have a working scale subresource")]: async (t) => {
    const all = await makeSet(t, "scaled", 1);
    const before = await all.get("scaled", "scale");
    assert.equal(before["spec"].replicas, 1);
    const { resourceVersion: _any, ...metadata } = before.metadata;
    assert.equal((await all.update({ ...before, metadata, spec: { replicas: 2 } }, "scale"))["spec"].replicas, 2);
    assert.equal((await all.get("scaled"))["spec"].replicas, 2);
    const patched = await all.patch("scaled", { spec: { replicas: 4 } }, { subresource: "scale", type: "strategic" });
    assert.equal(patched["spec"].replicas, 4);
  },
  [set("should list, patch and delete a collection of StatefulSets")]: async (t) => {
    const all = await makeSet(t, "collected", 1);
    await readyCount(t, "collected", 1);
    const containers = [{ name: "web", image: WEB_V2_IMAGE }];
    const patch = {
      metadata: { labels: { patched: "yes" } },
      spec: { replicas: 2, template: { spec: { containers } } },
    };
    await all.patch("collected", patch, { type: "strategic" });
    await updated(t, all, "collected");
    assert.equal(
      (await t.clusterApi("apps/v1", "statefulsets").list({ labelSelector: "app=collected,patched=yes" })).items.length,
      1,
    );
    await all.deleteCollection({ labelSelector: "app=collected" });
    await t.until("all are gone", async () => (await all.list()).items.length === 0);
  },
  [set("should validate Statefulset Status endpoints")]: async (t) => {
    const all = await makeSet(t, "shown", 1);
    await readyCount(t, "shown", 1);
    await showsStatus(all, "shown", t);
  },

  [daemon("should run and stop simple daemon")]: async (t) => {
    await makeDaemon(t, "simple");
    await runsEverywhere(t, "simple");
    const [pod] = (await t.api("v1", "pods").list({ labelSelector: "app=simple" })).items;
    await t.api("v1", "pods").delete(pod?.metadata.name ?? "");
    await t.until("another takes its place", async () => {
      const { items } = await t.api("v1", "pods").list({ labelSelector: "app=simple" });
      return items.some(({ metadata, status }) => metadata.uid !== pod?.metadata.uid && status.phase === "Running");
    });
  },
  [daemon("should run and stop complex daemon")]: async (t) => {
    const key = `conformance-color-${t.namespace}`;
    const body = template({ app: "complex" }) as Loose;
    body["spec"].nodeSelector = { [key]: "blue" };
    const daemons = await makeDaemon(t, "complex", { template: body });
    const nodes = t.clusterApi("v1", "nodes");
    const { items } = await nodes.list();
    const node = items.find(({ spec }) => ((spec?.taints ?? []) as unknown[]).length === 0)?.metadata.name ?? "";
    const paint = (color: string | null): Promise<Loose> =>
      nodes.patch(node, { metadata: { labels: { [key]: color } } });
    t.afterwards(() => paint(null));
    const count = async (wanted: number): Promise<void> => {
      await t.until(`${wanted} pods run`, async () => {
        const found = (await t.api("v1", "pods").list({ labelSelector: "app=complex" })).items;
        return found.filter(({ status }) => status.phase === "Running").length === wanted && found.length === wanted;
      });
    };
    await count(0);
    await paint("blue");
    await count(1);
    await paint("green");
    await count(0);
    const green = {
      spec: { template: { spec: { nodeSelector: { [key]: "green" } } }, updateStrategy: { type: "RollingUpdate" } },
    };
    await daemons.patch("complex", green);
    await count(1);
  },
  [daemon("should retry creating failed daemon pods")]: async (t) => {
    await makeDaemon(t, "retried");
    await runsEverywhere(t, "retried");
    const pods = t.api("v1", "pods");
    const [pod] = (await pods.list({ labelSelector: "app=retried" })).items;
    await pods.patch(pod?.metadata.name ?? "", { status: { phase: "Failed" } }, { subresource: "status" });
    await t.until("the failed pod is gone and another runs", async () => {
      const { items } = await pods.list({ labelSelector: "app=retried" });
      return (
        !items.some(({ metadata }) => metadata.uid === pod?.metadata.uid) &&
        items.every(({ status }) => status.phase === "Running") &&
        items.length > 0
      );
    });
  },
  [daemon("should update pod when spec was updated and update strategy is RollingUpdate")]: async (t) => {
    const daemons = await makeDaemon(t, "rolling");
    await runsEverywhere(t, "rolling");
    await setImage(daemons, "rolling", WEB_V2_IMAGE);
    await runsEverywhere(t, "rolling");
    assert.deepEqual(new Set(Object.values(await images(t, "rolling"))), new Set([WEB_V2_IMAGE]));
    const { items } = await t.api("apps/v1", "controllerrevisions").list({ labelSelector: "app=rolling" });
    assert.deepEqual(
      items.map(({ revision }) => revision as number).sort((a, b) => a - b),
      [1, 2],
    );
  },
  [daemon("should rollback without unnecessary restarts")]: async (t) => {
    const daemons = await makeDaemon(t, "back");
    await runsEverywhere(t, "back");
    const pods = async (): Promise<string> =>
      (await t.api("v1", "pods").list({ labelSelector: "app=back" })).items
        .map(({ metadata }) => metadata.uid ?? "")
        .sort()
        .join();
    const { items } = await t.clusterApi("v1", "nodes").list();
    const before = await pods();
    await setImage(daemons, "back", "pilothouse.local/nobody-has-this:v0");
    await t.until("the rollout has begun", async () =>
      Object.values(await images(t, "back")).some((image) => image.includes("nobody")),
    );
    await t.kubectl("rollout", "undo", "daemonset/back");
    await runsEverywhere(t, "back");
    const kept = before.split(",").filter((uid) => uid !== "");
    const now = (await pods()).split(",");
    const replaced = kept.filter((uid) => !now.includes(uid));
    assert.ok(replaced.length <= 1, `of ${items.length} nodes' pods ${replaced.length} were replaced`);
  },
  [daemon("should list and delete a collection of DaemonSets")]: async (t) => {
    const daemons = await makeDaemon(t, "collected");
    await runsEverywhere(t, "collected");
    assert.equal((await daemons.list({ labelSelector: "app=collected" })).items.length, 1);
    await daemons.deleteCollection({ labelSelector: "app=collected" });
    await t.until(
      "all are gone",
      async () => (await daemons.list({ labelSelector: "app=collected" })).items.length === 0,
    );
  },
  [daemon("should verify changes to a daemon set status")]: async (t) => {
    const daemons = await makeDaemon(t, "shown");
    await runsEverywhere(t, "shown");
    await showsStatus(daemons, "shown", t);
  },

  [rc("should serve a basic image on each replica with a public image")]: async (t) => {
    await makeController(t, "served", 1);
    await controllerReady(t, "served", 1);
    const [pod] = (await t.api("v1", "pods").list({ labelSelector: "app=served" })).items;
    const name = pod?.metadata.name ?? "";
    const path = `/api/v1/namespaces/${t.namespace}/pods/${name}/proxy/hostname`;
    assert.equal((await t.client.send({ method: "GET", path })).text.trim(), name);
  },
  [rc("should adopt matching pods on creation")]: async (t) => {
    const pods = t.api("v1", "pods");
    await pods.create(waitingPod("orphan", { labels: { app: "adopter" } }));
    await makeController(t, "adopter", 1);
    await t.until(
      "it is adopted",
      async () => ((await pods.get("orphan")).metadata.ownerReferences ?? []).length === 1,
    );
  },
  [rc("should release no longer matching pods")]: async (t) => {
    const pods = t.api("v1", "pods");
    await makeController(t, "releaser", 1);
    await controllerReady(t, "releaser", 1);
    const [pod] = (await pods.list({ labelSelector: "app=releaser" })).items;
    const name = pod?.metadata.name ?? "";
    await pods.patch(name, { metadata: { labels: { app: "nobody" } } });
    await t.until("it is released", async () => ((await pods.get(name)).metadata.ownerReferences ?? []).length === 0);
  },
  [rc("should get and update a ReplicationController scale")]: async (t) => {
    const controllers = await makeController(t, "scaled", 1);
    const scaled = await controllers.get("scaled", "scale");
    assert.equal(scaled["spec"].replicas, 1);
    assert.equal((await controllers.update({ ...scaled, spec: { replicas: 2 } }, "scale"))["spec"].replicas, 2);
    await controllerReady(t, "scaled", 2);
  },
  [rc("should surface a failure condition on a common issue like exceeded quota")]: async (t) => {
    await t.api("v1", "resourcequotas").create({ metadata: { name: "two" }, spec: { hard: { pods: "2" } } });
    await t.until(
      "the quota is known",
      async () => (await t.api("v1", "resourcequotas").get("two"))["status"]?.hard?.pods === "2",
    );
    const controllers = await makeController(t, "too-many", 3);
    const failure = async (): Promise<boolean> =>
      ((await controllers.get("too-many"))["status"].conditions ?? []).some(
        ({ type }: { type: string }) => type === "ReplicaFailure",
      );
    await t.until("the failure is told", failure);
    await controllers.patch("too-many", { spec: { replicas: 2 } });
    await t.until("it is told no more", async () => !(await failure()));
  },
  [rc("should test the lifecycle of a ReplicationController")]: (t) =>
    exercise(t, {
      groupVersion: "v1",
      plural: "replicationcontrollers",
      make: () => ({ spec: { replicas: 0, selector: { app: "lived" }, template: template({ app: "lived" }) } }),
      status: { replicas: 0 },
    }),
};
