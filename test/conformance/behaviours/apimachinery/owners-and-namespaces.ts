/** What goes with its owner, what stays, and what a namespace takes with it. */
import assert from "node:assert/strict";
import type { Behaviours } from "../../behaviour.ts";
import { waitingPod, type Loose, type Resource, type Trial } from "../../trial.ts";
import { webPod } from "../network/services.ts";

const gc = (rest: string): string => `[sig-api-machinery] Garbage collector ${rest} [Conformance]`;
const ns = (rest: string): string => `[sig-api-machinery] Namespaces [Serial] ${rest} [Conformance]`;

function controller(name: string, replicas: number): object {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: webPod(name)["spec"] as object };
  return { metadata: { name, labels }, spec: { replicas, selector: labels, template } };
}

function deployment(name: string): object {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: webPod(name)["spec"] as object };
  return { metadata: { name, labels }, spec: { replicas: 1, selector: { matchLabels: labels }, template } };
}

async function count(t: Trial, resource: Resource, wanted: number): Promise<readonly Loose[]> {
  return t.until(`there are ${wanted} of ${resource.path}`, async () => {
    const { items } = await resource.list();
    return items.length === wanted && items;
  });
}

async function staysSo(look: () => Promise<void>, ms = 15_000): Promise<void> {
  for (const startMs = Date.now(); Date.now() - startMs < ms;) {
    await look();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

const options = (propagationPolicy: string): object => ({ kind: "DeleteOptions", apiVersion: "v1", propagationPolicy });

async function inNamespace(t: Trial, work: (namespace: string) => Promise<void>): Promise<void> {
  const namespace = await t.anotherNamespace();
  await work(namespace);
  const all = t.clusterApi("v1", "namespaces");
  await all.delete(namespace);
  await t.until(`namespace ${namespace} is gone`, async () => {
    const { items } = await all.list({ fieldSelector: `metadata.name=${namespace}` });
    return items.length === 0;
  });
}

function post(t: Trial, path: string, body: object): Promise<void> {
  return t.client.send({ method: "POST", path, body: JSON.stringify(body) }).then(({ status, text }) => {
    assert.equal(status, 201, text);
  });
}

export const ownersAndNamespaces: Behaviours = {
  [gc("should delete pods created by rc when not orphaning")]: async (t) => {
    const [controllers, pods] = [t.api("v1", "replicationcontrollers"), t.api("v1", "pods")];
    await controllers.create(controller("owner", 2));
    await count(t, pods, 2);
    await controllers.delete("owner", options("Background"));
    await count(t, pods, 0);
  },
  [gc("should orphan pods created by rc if delete options say so [Serial]")]: async (t) => {
    const [controllers, pods] = [t.api("v1", "replicationcontrollers"), t.api("v1", "pods")];
    await controllers.create(controller("owner", 10));
    await count(t, pods, 10);
    await controllers.delete("owner", options("Orphan"));
    await count(t, controllers, 0);
    await staysSo(async () => assert.equal((await pods.list()).items.length, 10));
    const { items } = await pods.list();
    assert.ok(items.every(({ metadata }) => (metadata.ownerReferences ?? []).length === 0));
  },
  [gc("should delete RS created by deployment when not orphaning")]: async (t) => {
    const [deployments, sets] = [t.api("apps/v1", "deployments"), t.api("apps/v1", "replicasets")];
    await deployments.create(deployment("owner"));
    await count(t, sets, 1);
    await deployments.delete("owner", options("Background"));
    await count(t, sets, 0);
    await count(t, t.api("v1", "pods"), 0);
  },
  [gc("should orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan")]: async (t) => {
    const [deployments, sets] = [t.api("apps/v1", "deployments"), t.api("apps/v1", "replicasets")];
    await deployments.create(deployment("owner"));
    await count(t, sets, 1);
    await deployments.delete("owner", options("Orphan"));
    await count(t, deployments, 0);
    await staysSo(async () => {
      const [set] = (await sets.list()).items;
      assert.ok(set, "the ReplicaSet stays");
    });
    const [orphan] = (await sets.list()).items;
    assert.deepEqual(orphan?.metadata.ownerReferences ?? [], []);
  },
  [gc("should keep the rc around until all its pods are deleted if the deleteOptions says so [Serial]")]: async (t) => {
    const [controllers, pods] = [t.api("v1", "replicationcontrollers"), t.api("v1", "pods")];
    await controllers.create(controller("owner", 10));
    await count(t, pods, 10);
    await controllers.delete("owner", options("Foreground"));
    for (;;) {
      // The owner is looked at last: while it is not there, no pod may be there either.
      const { items } = await controllers.list();
      if (items.length === 0) break;
      assert.ok(items[0]?.metadata.deletionTimestamp, "it is being deleted");
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.equal((await pods.list()).items.length, 0);
  },
  [gc(
    "should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted [Serial]",
  )]: async (t) => {
    const [controllers, pods] = [t.api("v1", "replicationcontrollers"), t.api("v1", "pods")];
    await controllers.create(controller("leaving", 10));
    const staying = await controllers.create(controller("staying", 0));
    const all = await count(t, pods, 10);
    const kept = all.slice(0, 5).map(({ metadata }) => metadata.name ?? "");
    for (const name of kept) {
      const { ownerReferences = [] } = (await pods.get(name)).metadata;
      const another = { apiVersion: "v1", kind: "ReplicationController", name: "staying", uid: staying.metadata.uid };
      await pods.patch(name, { metadata: { ownerReferences: [...ownerReferences, another] } });
    }
    await controllers.delete("leaving", options("Foreground"));
    await count(t, controllers, 1);
    const { items } = await pods.list();
    assert.deepEqual(items.map(({ metadata }) => metadata.name ?? "").sort(), [...kept].sort());
    assert.ok(items.every(({ metadata }) => metadata.deletionTimestamp === undefined));
  },
  [gc("should not be blocked by dependency circle")]: async (t) => {
    const pods = t.api("v1", "pods");
    const made = [];
    for (const name of ["pod1", "pod2", "pod3"]) {
      made.push(await pods.create(waitingPod(name, { pod: { terminationGracePeriodSeconds: 1 } })));
    }
    for (const [index, { metadata }] of made.entries()) {
      const owner = made[(index + 2) % 3]?.metadata;
      const ownerReferences = [
        {
          apiVersion: "v1",
          kind: "Pod",
          name: owner?.name,
          uid: owner?.uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ];
      await pods.patch(metadata.name ?? "", { metadata: { ownerReferences } });
    }
    await pods.delete("pod1", options("Foreground"));
    await count(t, pods, 0);
  },

  [ns("should ensure that all pods are removed when a namespace is deleted")]: (t) =>
    inNamespace(t, (namespace) =>
      post(
        t,
        `/api/v1/namespaces/${namespace}/pods`,
        waitingPod("inside", { pod: { terminationGracePeriodSeconds: 1 } }),
      ),
    ),
  [ns("should ensure that all services are removed when a namespace is deleted")]: (t) =>
    inNamespace(t, (namespace) =>
      post(t, `/api/v1/namespaces/${namespace}/services`, {
        metadata: { name: "inside" },
        spec: { ports: [{ port: 80 }] },
      }),
    ),
  [ns("should patch a Namespace")]: async (t) => {
    const namespace = await t.anotherNamespace();
    const patched = await t
      .clusterApi("v1", "namespaces")
      .patch(namespace, { metadata: { labels: { testLabel: "testValue" } } });
    assert.equal(patched.metadata.labels?.["testLabel"], "testValue");
  },
  [ns("should apply an update to a Namespace")]: async (t) => {
    const all = t.clusterApi("v1", "namespaces");
    const namespace = await t.anotherNamespace();
    await t.until("it is updated", async () => {
      const now = await all.get(namespace);
      return all
        .update({ ...now, metadata: { ...now.metadata, labels: { ...now.metadata.labels, updated: "yes" } } })
        .catch(() => undefined);
    });
    assert.equal((await all.get(namespace)).metadata.labels?.["updated"], "yes");
  },
  [ns("should apply changes to a namespace status")]: async (t) => {
    const all = t.clusterApi("v1", "namespaces");
    const namespace = await t.anotherNamespace();
    assert.equal((await all.get(namespace, "status"))["status"].phase, "Active");
    const condition = { type: "StatusPatch", status: "True", reason: "E2E", message: "Patched by an e2e test" };
    const patched = await all.patch(namespace, { status: { conditions: [condition] } }, { subresource: "status" });
    assert.partialDeepStrictEqual(patched["status"].conditions, [condition]);
    const updated = await t.until("the status is put", async () => {
      const now = await all.get(namespace, "status");
      const conditions = [...(now["status"].conditions as object[]), { ...condition, type: "StatusUpdate" }];
      return all.update({ ...now, status: { ...now["status"], conditions } }, "status").catch(() => undefined);
    });
    assert.equal(updated["status"].conditions.length, 2);
  },
  [ns("should apply a finalizer to a Namespace")]: async (t) => {
    const all = t.clusterApi("v1", "namespaces");
    const namespace = await t.anotherNamespace();
    const finalizersOf = async (finalizers: readonly string[]): Promise<readonly string[]> => {
      const now = await all.get(namespace);
      const answer = await all.update({ ...now, spec: { ...now["spec"], finalizers } }, "finalize");
      return (answer["spec"].finalizers ?? []) as string[];
    };
    assert.ok((await finalizersOf(["kubernetes", "e2e.example.com/fake"])).includes("e2e.example.com/fake"));
    assert.ok(!(await finalizersOf(["kubernetes"])).includes("e2e.example.com/fake"));
  },
  "[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first [Conformance]": async (
    t,
  ) => {
    const namespace = await t.anotherNamespace();
    const finalizers = ["e2e.example.com/finalizer"];
    const base = `/api/v1/namespaces/${namespace}`;
    const pod = waitingPod("last", { pod: { terminationGracePeriodSeconds: 1 } });
    await post(t, `${base}/pods`, { ...pod, metadata: { ...pod.metadata, finalizers } });
    await post(t, `${base}/configmaps`, { metadata: { name: "waits" } });
    const free = async (): Promise<void> => {
      const body = JSON.stringify({ metadata: { finalizers: null } });
      await t.client.send({ method: "PATCH", path: `${base}/pods/last`, body, type: "application/merge-patch+json" });
    };
    t.afterwards(free);
    await t.clusterApi("v1", "namespaces").delete(namespace);
    const status = async (path: string): Promise<number> => (await t.client.send({ method: "GET", path })).status;
    await t.until("the pod is being deleted", async () => {
      const { text } = await t.client.send({ method: "GET", path: `${base}/pods/last` });
      return (JSON.parse(text) as Loose).metadata.deletionTimestamp !== undefined;
    });
    await staysSo(async () => assert.equal(await status(`${base}/configmaps/waits`), 200), 10_000);
    await free();
    await t.until("the namespace is gone", async () => (await status(base)) === 404);
  },
};
