/** What may be disrupted, and how much there may be: PodDisruptionBudgets, ResourceQuotas, LimitRanges. */
import assert from "node:assert/strict";
import { TOOLBOX_IMAGE } from "../../../../deploy/images.ts";
import type { Behaviours } from "../../behaviour.ts";
import { refusal, waitingPod, type Loose, type Resource, type Trial } from "../../trial.ts";
import { exercise } from "../exercise.ts";

const pdb = (rest: string): string => `[sig-apps] DisruptionController ${rest} [Conformance]`;
const quota = (rest: string): string => `[sig-api-machinery] ResourceQuota ${rest} [Conformance]`;
const limit = (rest: string): string => `[sig-scheduling] LimitRange ${rest} [Conformance]`;

const budgetsOf = (t: Trial): Resource => t.api("policy/v1", "poddisruptionbudgets");
const quotasOf = (t: Trial): Resource => t.api("v1", "resourcequotas");

async function allows(t: Trial, wanted: number): Promise<void> {
  await t.until(`the budget allows ${wanted}`, async () => {
    const { status, metadata } = await budgetsOf(t).get("budget");
    return status?.observedGeneration === metadata.generation && status?.disruptionsAllowed === wanted;
  });
}

function budget(minAvailable: number): object {
  return { metadata: { name: "budget" }, spec: { minAvailable, selector: { matchLabels: { guarded: "yes" } } } };
}

async function makeQuota(t: Trial, name: string, hard: object, spec: object = {}): Promise<void> {
  await quotasOf(t).create({ metadata: { name, labels: { made: "here" } }, spec: { hard, ...spec } });
}

/** Waits until the quota says that so much is used. */
async function uses(t: Trial, wanted: Readonly<Record<string, string>>, name = "quota"): Promise<void> {
  let used: unknown;
  await t
    .until(`${JSON.stringify(wanted)} is used`, async () => {
      used = (await quotasOf(t).get(name))["status"]?.used ?? {};
      return Object.entries(wanted).every(([key, value]) => (used as Record<string, string>)[key] === value);
    })
    .catch(() => assert.fail(`used is ${JSON.stringify(used)}, not ${JSON.stringify(wanted)}`));
}

function sized(name: string, cpu: string, memory: string, spec: object = {}): Loose {
  const amounts = { cpu, memory };
  const pod = { terminationGracePeriodSeconds: 1, ...spec };
  return waitingPod(name, { pod, container: { resources: { requests: amounts, limits: amounts } } });
}

/** One object of a kind comes and goes, and the quota counts it. */
async function counts(
  t: Trial,
  resource: string,
  objects: Resource,
  make: () => object,
  more: object = {},
): Promise<void> {
  await makeQuota(t, "quota", { resourcequotas: "1", [resource]: "10", ...more });
  await uses(t, { resourcequotas: "1" });
  const before = Number((await quotasOf(t).get("quota"))["status"].used[resource]);
  const { metadata } = await objects.create(make());
  await uses(t, { [resource]: String(before + 1) });
  await objects.delete(metadata.name ?? "");
  await uses(t, { [resource]: String(before) });
}

const template = {
  metadata: { labels: { app: "x" } },
  spec: { containers: [{ name: "c", image: TOOLBOX_IMAGE }] },
};

export const budgetsAndQuotas: Behaviours = {
  [pdb("should create a PodDisruptionBudget")]: (t) =>
    exercise(t, {
      groupVersion: "policy/v1",
      plural: "poddisruptionbudgets",
      make: () => ({ spec: { minAvailable: 1, selector: { matchLabels: { guarded: "yes" } } } }),
      change: (changed) => (changed["spec"].minAvailable = 2),
    }),
  [pdb("Listing PodDisruptionBudgets for all namespaces should list and delete a collection of PodDisruptionBudgets")]:
    async (t) => {
      const labels = { collected: t.namespace };
      for (const name of ["one", "two"]) {
        await budgetsOf(t).create({
          metadata: { name, labels },
          spec: { minAvailable: 1, selector: { matchLabels: { x: "y" } } },
        });
      }
      const labelSelector = `collected=${t.namespace}`;
      assert.equal((await t.clusterApi("policy/v1", "poddisruptionbudgets").list({ labelSelector })).items.length, 2);
      await budgetsOf(t).deleteCollection({ labelSelector });
      await t.until("all are gone", async () => (await budgetsOf(t).list({ labelSelector })).items.length === 0);
    },
  [pdb("should observe PodDisruptionBudget status updated")]: async (t) => {
    await budgetsOf(t).create(budget(1));
    await allows(t, 0);
    for (const name of ["one", "two"]) {
      await t.api("v1", "pods").create(waitingPod(name, { labels: { guarded: "yes" } }));
      await t.ready(name);
    }
    await allows(t, 1);
  },
  [pdb("should update/patch PodDisruptionBudget status")]: async (t) => {
    await budgetsOf(t).create(budget(1));
    await allows(t, 0);
    const mark = { "old-pod": "2026-01-01T00:00:00Z" };
    const patched = await budgetsOf(t).patch("budget", { status: { disruptedPods: mark } }, { subresource: "status" });
    assert.deepEqual(patched["status"].disruptedPods, mark);
    await t.until("the status is put", async () => {
      const now = await budgetsOf(t).get("budget", "status");
      return budgetsOf(t)
        .update({ ...now, status: { ...now["status"], disruptedPods: {} } }, "status")
        .catch(() => undefined);
    });
  },
  [pdb("should block an eviction until the PDB is updated to allow it")]: async (t) => {
    const pods = t.api("v1", "pods");
    await pods.create(waitingPod("guarded", { labels: { guarded: "yes" }, pod: { terminationGracePeriodSeconds: 1 } }));
    await t.ready("guarded");
    await budgetsOf(t).create(budget(1));
    await allows(t, 0);
    const evict = (): Promise<Loose> =>
      pods.post("guarded", "eviction", { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "guarded" } });
    const refused = await refusal(evict());
    assert.equal(refused.code, 429);
    assert.equal(refused.status.reason, "TooManyRequests");
    assert.equal(refused.status.details?.causes?.[0]?.reason, "DisruptionBudget");
    await budgetsOf(t).patch("budget", { spec: { minAvailable: 0 } });
    await allows(t, 1);
    await evict();
    await t.until("it is gone", async () => (await pods.list({ labelSelector: "guarded=yes" })).items.length === 0);
  },

  [quota("should create a ResourceQuota and ensure its status is promptly calculated.")]: async (t) => {
    await makeQuota(t, "quota", { pods: "5", resourcequotas: "1" });
    await uses(t, { pods: "0", resourcequotas: "1" });
  },
  [quota("should create a ResourceQuota and capture the life of a secret.")]: (t) =>
    counts(t, "secrets", t.api("v1", "secrets"), () => ({ metadata: { name: "counted" }, stringData: { a: "b" } })),
  [quota("should create a ResourceQuota and capture the life of a configMap.")]: (t) =>
    counts(t, "configmaps", t.api("v1", "configmaps"), () => ({ metadata: { name: "counted" } })),
  [quota("should create a ResourceQuota and capture the life of a replication controller.")]: (t) =>
    counts(t, "replicationcontrollers", t.api("v1", "replicationcontrollers"), () => ({
      metadata: { name: "counted" },
      spec: { replicas: 0, selector: { app: "x" }, template },
    })),
  [quota("should create a ResourceQuota and capture the life of a replica set.")]: (t) =>
    counts(t, "count/replicasets.apps", t.api("apps/v1", "replicasets"), () => ({
      metadata: { name: "counted" },
      spec: { replicas: 0, selector: { matchLabels: { app: "x" } }, template },
    })),
  [quota("should create a ResourceQuota and capture the life of a service.")]: async (t) => {
    const all = t.api("v1", "services");
    await makeQuota(t, "quota", { services: "3", "services.nodeports": "1", "services.loadbalancers": "1" });
    await uses(t, { services: "0" });
    const make = (name: string, type: string): Promise<Loose> =>
      all.create({ metadata: { name }, spec: { type, ports: [{ port: 80 }] } });
    await make("plain", "ClusterIP");
    await make("open", "NodePort");
    await uses(t, { services: "2", "services.nodeports": "1", "services.loadbalancers": "0" });
    assert.equal((await refusal(make("balanced", "LoadBalancer"))).code, 403);
    assert.equal((await refusal(make("open-too", "NodePort"))).code, 403);
    await all.delete("plain");
    await all.delete("open");
    await uses(t, { services: "0", "services.nodeports": "0" });
  },
  [quota("should create a ResourceQuota and capture the life of a pod.")]: async (t) => {
    const pods = t.api("v1", "pods");
    const device = "requests.example.com/device";
    await makeQuota(t, "quota", {
      pods: "5",
      "requests.cpu": "1",
      "requests.memory": "500Mi",
      "requests.ephemeral-storage": "1Gi",
      [device]: "3",
    });
    await uses(t, { pods: "0" });
    const amounts = { cpu: "500m", memory: "252Mi", "ephemeral-storage": "30Mi", "example.com/device": "2" };
    const pod = waitingPod("counted", {
      pod: { terminationGracePeriodSeconds: 1 },
      container: { resources: { requests: amounts, limits: { "example.com/device": "2" } } },
    });
    await pods.create(pod);
    await uses(t, {
      pods: "1",
      "requests.cpu": "500m",
      "requests.memory": "252Mi",
      "requests.ephemeral-storage": "30Mi",
      [device]: "2",
    });
    const refused = await refusal(pods.create(sized("too-much", "600m", "100Mi")));
    assert.equal(refused.code, 403);
    assert.match(
      refused.status.message ?? "",
      /exceeded quota: quota, requested: requests\.cpu=600m, used: requests\.cpu=500m, limited: requests\.cpu=1/,
    );
    await pods.delete("counted", { gracePeriodSeconds: 0 });
    await uses(t, { pods: "0", "requests.cpu": "0", [device]: "0" });
  },
  [quota("should verify ResourceQuota with best effort scope.")]: async (t) => {
    const pods = t.api("v1", "pods");
    await makeQuota(t, "best", { pods: "5" }, { scopes: ["BestEffort"] });
    await makeQuota(t, "not-best", { pods: "5" }, { scopes: ["NotBestEffort"] });
    await uses(t, { pods: "0" }, "best");
    await uses(t, { pods: "0" }, "not-best");
    await pods.create(waitingPod("plain"));
    await uses(t, { pods: "1" }, "best");
    await uses(t, { pods: "0" }, "not-best");
    await pods.delete("plain", { gracePeriodSeconds: 0 });
    await uses(t, { pods: "0" }, "best");
    await pods.create(sized("sized", "100m", "50Mi"));
    await uses(t, { pods: "1" }, "not-best");
    await uses(t, { pods: "0" }, "best");
    await pods.delete("sized", { gracePeriodSeconds: 0 });
    await uses(t, { pods: "0" }, "not-best");
  },
  [quota("should verify ResourceQuota with terminating scopes.")]: async (t) => {
    const pods = t.api("v1", "pods");
    const hard = {
      pods: "5",
      "requests.cpu": "1",
      "limits.cpu": "2",
      "requests.memory": "1Gi",
      "limits.memory": "1Gi",
    };
    await makeQuota(t, "ends", hard, { scopes: ["Terminating"] });
    await makeQuota(t, "stays", hard, { scopes: ["NotTerminating"] });
    await uses(t, { pods: "0" }, "ends");
    await uses(t, { pods: "0" }, "stays");
    await pods.create(sized("long", "500m", "200Mi"));
    await uses(t, { pods: "1", "requests.cpu": "500m" }, "stays");
    await uses(t, { pods: "0" }, "ends");
    await pods.delete("long", { gracePeriodSeconds: 0 });
    await uses(t, { pods: "0" }, "stays");
    await pods.create(sized("short", "500m", "200Mi", { activeDeadlineSeconds: 3_600 }));
    await uses(t, { pods: "1", "limits.cpu": "500m" }, "ends");
    await uses(t, { pods: "0" }, "stays");
    await pods.delete("short", { gracePeriodSeconds: 0 });
    await uses(t, { pods: "0" }, "ends");
  },
  [quota("should be able to update and delete ResourceQuota.")]: async (t) => {
    const quotas = quotasOf(t);
    await makeQuota(t, "quota", { cpu: "1", memory: "500Mi" });
    const found = await quotas.get("quota");
    const updated = await quotas.update({ ...found, spec: { hard: { cpu: "2", memory: "1Gi" } } });
    assert.deepEqual(updated["spec"].hard, { cpu: "2", memory: "1Gi" });
    await quotas.delete("quota");
    assert.equal((await refusal(quotas.get("quota"))).code, 404);
  },
  [quota("should manage the lifecycle of a ResourceQuota")]: (t) =>
    exercise(t, { groupVersion: "v1", plural: "resourcequotas", make: () => ({ spec: { hard: { cpu: "1" } } }) }),
  [quota("should apply changes to a resourcequota status")]: async (t) => {
    const quotas = quotasOf(t);
    await makeQuota(t, "quota", { cpu: "500m", memory: "500Mi" });
    const tells = async (hard: object): Promise<void> => {
      await t.until(`the status says ${JSON.stringify(hard)}`, async () => {
        const { status } = await quotas.get("quota", "status");
        return JSON.stringify(status?.hard) === JSON.stringify(hard);
      });
    };
    await tells({ cpu: "500m", memory: "500Mi" });
    const watch = await quotas.watch({ labelSelector: "made=here" });
    await t.until("the status is put", async () => {
      const now = await quotas.get("quota", "status");
      return quotas
        .update({ ...now, status: { ...now["status"], hard: { cpu: "1", memory: "1Gi" } } }, "status")
        .catch(() => undefined);
    });
    await watch.next(({ object }) => object["status"]?.hard?.cpu === "1");
    await quotas.patch("quota", { spec: { hard: { cpu: "1", memory: "1Gi" } } });
    await tells({ cpu: "1", memory: "1Gi" });
    await quotas.patch("quota", { status: { hard: { cpu: "2", memory: "2Gi" } } }, { subresource: "status" });
    await watch.next(({ object }) => object["status"]?.hard?.cpu === "2");
    assert.deepEqual((await quotas.get("quota"))["spec"].hard, { cpu: "1", memory: "1Gi" });
    watch.close();
  },

  [limit("should create a LimitRange with defaults and ensure pod has those defaults applied.")]: async (t) => {
    const ranges = t.api("v1", "limitranges");
    const amounts = (cpu: string, memory: string): object => ({ cpu, memory });
    const item = {
      type: "Container",
      min: amounts("50m", "100Mi"),
      max: amounts("500m", "500Mi"),
      default: amounts("500m", "500Mi"),
      defaultRequest: amounts("100m", "200Mi"),
    };
    await ranges.create({ metadata: { name: "range" }, spec: { limits: [item] } });
    const pods = t.api("v1", "pods");
    const plain = await t.until("the defaults are applied", async () => {
      const made = await pods.create(waitingPod("plain"));
      if (made["spec"].containers[0].resources.limits) return made;
      await pods.delete("plain", { gracePeriodSeconds: 0 });
      return false;
    });
    assert.deepEqual(plain["spec"].containers[0].resources, {
      limits: amounts("500m", "500Mi"),
      requests: amounts("100m", "200Mi"),
    });
    const refused = [
      await refusal(pods.create(sized("too-small", "10m", "50Mi"))),
      await refusal(pods.create(sized("too-large", "600m", "600Mi"))),
    ];
    assert.deepEqual(
      refused.map(({ code }) => code),
      [403, 403],
    );
    await ranges.patch("range", { spec: { limits: [{ ...item, min: amounts("9m", "49Mi") }] } });
    await t.until("the new bound holds", () => pods.create(sized("small", "10m", "50Mi")).catch(() => undefined));
    await ranges.delete("range");
    await t.until("it is gone", async () => (await ranges.list()).items.length === 0);
    await t.until("no bound holds any more", () => pods.create(sized("large", "600m", "600Mi")).catch(() => undefined));
  },
  [limit("should list, patch and delete a LimitRange by collection")]: (t) =>
    exercise(t, {
      groupVersion: "v1",
      plural: "limitranges",
      make: () => ({ spec: { limits: [{ type: "Container", max: { cpu: "500m" } }] } }),
    }),
};
