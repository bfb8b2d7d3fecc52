/** What the conformance suite asks of StatefulSets, and what goes beyond it, against the real apiserver. */
import type { StatefulSet, StatefulSetSpec } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { templateOf } from "../../core/revisions.ts";
import { fail, live, type Fates } from "../../pods.fixture.ts";
import { startStatefulSetController } from "./reconcile.ts";

const open: Cluster[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

const merge = (body: object) => ({ type: "application/merge-patch+json", body }) as const;
const template = (image: string) => ({
  metadata: { labels: { app: "db" } },
  spec: { containers: [{ name: "db", image }] },
});

async function started(spec: Partial<StatefulSetSpec>, rounds: number, fates: Fates = {}): Promise<Cluster> {
  const made = await cluster("stateful");
  open.push(made);
  startStatefulSetController(made.ports);
  await made.client.create(resources.serviceAccounts, { metadata: { name: "default", namespace: "default" } });
  await made.client.create<StatefulSet>(resources.statefulSets, {
    metadata: { name: "db", namespace: "default" },
    spec: { serviceName: "db", selector: { matchLabels: { app: "db" } }, template: template("db:1"), ...spec },
  });
  await live(made, rounds, fates);
  return made;
}

const change = (made: Cluster, spec: object) =>
  made.client.patch(resources.statefulSets, "default", "db", merge({ spec }));
const setNow = async (made: Cluster): Promise<StatefulSet> =>
  (await made.find(resources.statefulSets, "default", "db")) as StatefulSet;
const names = async (made: Cluster): Promise<(string | undefined)[]> =>
  (await made.all(resources.pods)).map(({ metadata }) => metadata.name);
const images = async (made: Cluster): Promise<string[]> =>
  (await made.all(resources.pods)).map(
    ({ metadata, spec }) => `${metadata.name ?? ""} ${spec.containers[0]?.image ?? ""}`,
  );
const created = (made: Cluster): unknown[] =>
  made.telemetry.spans
    .filter(({ name, attributes }) => name === "create pods" && attributes["object"] !== undefined)
    .map(({ attributes }) => attributes["object"]);
/** In order; a delete that was refused, because the pod had changed meanwhile, is tried again. */
const deleted = (made: Cluster): string[] => {
  const deletes = made.writes.filter((write) => write.startsWith("DELETE") && write.includes("/pods/"));
  return [...new Set(deletes.map((write) => write.slice(-4)))];
};
const unready =
  (...unwell: string[]) =>
  ({ metadata, spec }: Pod): boolean =>
    !unwell.some((one) => one === metadata.name || one === `${metadata.name ?? ""} ${spec.containers[0]?.image ?? ""}`);

describe("the StatefulSet controller", () => {
  it("gives each pod its name, host, labels and revision, and tells what there is", async () => {
    const made = await started({ replicas: 2, ordinals: { start: 3 } }, 20);
    const [first, second] = await made.all(resources.pods);
    const set = await setNow(made);
    const revision = set.status?.updateRevision ?? "";
    expect(revision).toMatch(/^db-\w+$/);
    expect([first?.metadata.name, second?.metadata.name]).toEqual(["db-3", "db-4"]);
    expect(first).toMatchObject({
      metadata: {
        generateName: "db-",
        labels: {
          app: "db",
          "statefulset.kubernetes.io/pod-name": "db-3",
          "apps.kubernetes.io/pod-index": "3",
          "controller-revision-hash": revision,
        },
        ownerReferences: [{ apiVersion: "apps/v1", kind: "StatefulSet", name: "db", controller: true }],
      },
      spec: { hostname: "db-3", subdomain: "db" },
    });
    expect(set.status).toEqual({
      observedGeneration: 1,
      replicas: 2,
      readyReplicas: 2,
      currentReplicas: 2,
      updatedReplicas: 2,
      availableReplicas: 2,
      currentRevision: revision,
      updateRevision: revision,
      collisionCount: 0,
    });
    const events = (await made.all(resources.events)).map(({ reason, message, source }) => [
      reason,
      message,
      source?.component,
    ]);
    expect(events).toContainEqual([
      "SuccessfulCreate",
      "create Pod db-3 in StatefulSet db successful",
      "statefulset-controller",
    ]);
    const writes = made.writes.length;
    await made.pass(5_000);
    expect([made.writes.slice(writes), made.failures]).toEqual([[], []]);
  });

  it("scales up in order and down in reverse, and not at all while a pod is unwell", async () => {
    const made = await started({ replicas: 3 }, 20, { ready: unready("db-1") });
    expect(await names(made)).toEqual(["db-0", "db-1"]);
    await live(made, 20);
    expect(created(made)).toEqual(["default/db-0", "default/db-1", "default/db-2"]);
    const allUnwell = { ready: unready("db-0", "db-1", "db-2") };
    await live(made, 5, allUnwell);
    await change(made, { replicas: 0 });
    await live(made, 10, allUnwell);
    expect(await names(made)).toEqual(["db-0", "db-1", "db-2"]);
    await live(made, 30);
    expect([await names(made), deleted(made)]).toEqual([[], ["db-2", "db-1", "db-0"]]);
    expect((await setNow(made)).status).toMatchObject({ replicas: 0, observedGeneration: 2 });
  });

  it("scales at once, and whoever is unwell, where pods are managed in parallel", async () => {
    const fates = { ready: unready("db-0", "db-1") };
    const made = await started({ replicas: 4, podManagementPolicy: "Parallel" }, 10, fates);
    expect(await names(made)).toEqual(["db-0", "db-1", "db-2", "db-3"]);
    await change(made, { replicas: 1 });
    await live(made, 10, fates);
    expect(await names(made)).toEqual(["db-0"]);
  });

  it("rolls one pod at a time, the highest first, and back without a new revision", async () => {
    const made = await started({ replicas: 3 }, 20);
    const before = (await setNow(made)).status?.currentRevision;
    await change(made, { template: template("db:2") });
    await live(made, 8, { ready: unready("db-1 db:2") });
    const halfway = (await setNow(made)).status;
    expect(await images(made)).toEqual(["db-0 db:1", "db-1 db:2", "db-2 db:2"]);
    expect(halfway).toMatchObject({ currentRevision: before, currentReplicas: 1, updatedReplicas: 2 });
    expect(halfway?.updateRevision).not.toBe(before);
    await live(made, 20);
    expect(deleted(made)).toEqual(["db-2", "db-1", "db-0"]);
    expect(await images(made)).toEqual(["db-0 db:2", "db-1 db:2", "db-2 db:2"]);
    expect((await setNow(made)).status).toMatchObject({ currentRevision: halfway?.updateRevision, currentReplicas: 3 });
    await change(made, { template: template("db:1") });
    await live(made, 30);
    expect(await images(made)).toEqual(["db-0 db:1", "db-1 db:1", "db-2 db:1"]);
    const revisions = await made.all(resources.controllerRevisions);
    expect(revisions.map(({ revision }) => revision).sort((a, b) => a - b)).toEqual([2, 3]);
    expect((await setNow(made)).status).toMatchObject({ currentRevision: before, updateRevision: before });
  });

  it("keeps what is below the partition as it was, also when it is made again", async () => {
    const rolling = (partition: number) => ({ type: "RollingUpdate", rollingUpdate: { partition } });
    const made = await started({ replicas: 3, updateStrategy: rolling(3) }, 20);
    await change(made, { template: template("db:2") });
    await live(made, 10);
    expect(await images(made)).toEqual(["db-0 db:1", "db-1 db:1", "db-2 db:1"]);
    await change(made, { updateStrategy: rolling(2) });
    await live(made, 15);
    expect(await images(made)).toEqual(["db-0 db:1", "db-1 db:1", "db-2 db:2"]);
    for (const name of ["db-0", "db-2"]) await made.client.delete(resources.pods, "default", name);
    await live(made, 20);
    expect(await images(made)).toEqual(["db-0 db:1", "db-1 db:1", "db-2 db:2"]);
    await change(made, { updateStrategy: rolling(0) });
    await live(made, 25);
    expect(await images(made)).toEqual(["db-0 db:2", "db-1 db:2", "db-2 db:2"]);
  });

  it("replaces as many at a time as may be unavailable", async () => {
    const updateStrategy = { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "50%" } };
    const made = await started({ replicas: 4, updateStrategy }, 30);
    await change(made, { template: template("db:2") });
    await live(made, 2, { ends: () => false });
    expect(deleted(made).sort()).toEqual(["db-2", "db-3"]);
    await live(made, 30);
    expect(await images(made)).toEqual(["db-0 db:2", "db-1 db:2", "db-2 db:2", "db-3 db:2"]);
  });

  it("replaces in parallel what is broken anyway, and no more than may be unavailable of the rest", async () => {
    const fates = { ready: unready("db-0") };
    const made = await started({ replicas: 3, podManagementPolicy: "Parallel" }, 10, fates);
    await change(made, { template: template("db:2") });
    await live(made, 2, { ...fates, ends: () => false });
    expect(deleted(made)).toEqual(["db-0"]);
    await live(made, 30);
    expect(await images(made)).toEqual(["db-0 db:2", "db-1 db:2", "db-2 db:2"]);
  });

  it("with OnDelete waits until a pod is deleted", async () => {
    const made = await started({ replicas: 2, updateStrategy: { type: "OnDelete" } }, 20);
    await change(made, { template: template("db:2") });
    await live(made, 10);
    expect(await images(made)).toEqual(["db-0 db:1", "db-1 db:1"]);
    await made.client.delete(resources.pods, "default", "db-0");
    await live(made, 10);
    expect(await images(made)).toEqual(["db-0 db:2", "db-1 db:1"]);
  });

  it("makes a pod again that has failed, and never has two of a name", async () => {
    const made = await started({ replicas: 1 }, 10);
    const [before] = await made.all(resources.pods);
    await fail(made, before as Pod);
    await live(made, 15);
    const [after, ...others] = await made.all(resources.pods);
    expect([after?.metadata.name, others]).toEqual(["db-0", []]);
    expect(after?.metadata.uid).not.toBe(before?.metadata.uid);
    expect(after?.status?.phase).toBe("Running");
  });

  it("counts a pod as available only after minReadySeconds, and makes the next one then", async () => {
    const made = await started({ replicas: 2, minReadySeconds: 3 }, 20);
    expect(await names(made)).toEqual(["db-0"]);
    expect((await setNow(made)).status).toMatchObject({ readyReplicas: 1, availableReplicas: 0 });
    await live(made, 60);
    expect((await setNow(made)).status).toMatchObject({ readyReplicas: 2, availableReplicas: 2 });
  });

  it("follows its scale", async () => {
    const made = await started({ replicas: 1 }, 10);
    await made.client.patch(resources.statefulSets, "default", "db", merge({ spec: { replicas: 2 } }), {
      subresource: "scale",
    });
    await live(made, 10);
    expect(await names(made)).toEqual(["db-0", "db-1"]);
  });

  it("takes over the pods and the history of a set of its name whose dependents were left", async () => {
    const made = await started({ replicas: 2 }, 20);
    const before = (await made.all(resources.pods)).map(({ metadata }) => metadata.uid);
    const { spec } = await setNow(made);
    await made.client.delete(resources.statefulSets, "default", "db", { propagationPolicy: "Orphan" });
    // The garbage collector's part.
    for (const type of [resources.pods, resources.controllerRevisions] as const)
      for (const { metadata } of await made.all<Pod>(type as typeof resources.pods))
        await made.client.patch(
          type as typeof resources.pods,
          "default",
          metadata.name ?? "",
          merge({ metadata: { ownerReferences: null } }),
        );
    await made.client.patch(resources.statefulSets, "default", "db", merge({ metadata: { finalizers: null } }));
    await made.pass(200);
    await made.client.create<StatefulSet>(resources.statefulSets, {
      metadata: { name: "db", namespace: "default" },
      spec,
    });
    await live(made, 10);
    const { uid } = (await setNow(made)).metadata;
    const pods = await made.all(resources.pods);
    expect(pods.map(({ metadata }) => metadata.uid)).toEqual(before);
    expect(pods.map(({ metadata }) => metadata.ownerReferences?.[0]?.uid)).toEqual([uid, uid]);
    const revisions = await made.all(resources.controllerRevisions);
    expect(revisions.map(({ metadata, revision }) => [metadata.ownerReferences?.[0]?.uid, revision])).toEqual([
      [uid, 1],
    ]);
  });
});

describe("its history", () => {
  it("is a patch for each template, with sorted keys, and no longer than its limit", async () => {
    const made = await started({ replicas: 1, revisionHistoryLimit: 1 }, 10);
    const [first] = await made.all(resources.controllerRevisions);
    const patch = first?.data as { spec: { template: object } };
    expect(Object.keys(patch.spec.template)).toEqual(["$patch", "metadata", "spec"]);
    expect(first && templateOf(first)).toEqual((await setNow(made)).spec.template);
    expect(first?.metadata).toMatchObject({
      labels: { app: "db", "controller.kubernetes.io/hash": first?.metadata.name?.slice(3) },
      ownerReferences: [{ kind: "StatefulSet", name: "db", controller: true }],
    });
    for (const image of ["db:2", "db:3", "db:4"]) {
      await change(made, { template: template(image) });
      await live(made, 12);
    }
    const kept = await made.all(resources.controllerRevisions);
    expect(kept.map(({ revision }) => revision).sort((a, b) => a - b)).toEqual([3, 4]);
  });

  it("takes another name when its name is taken by other contents", async () => {
    const made = await started({ replicas: 1 }, 10);
    const [taken] = await made.all(resources.controllerRevisions);
    await change(made, { replicas: 0 });
    await live(made, 10);
    await made.client.delete(resources.statefulSets, "default", "db");
    await made.client.delete(resources.controllerRevisions, "default", taken?.metadata.name ?? "");
    await made.client.create(resources.controllerRevisions, {
      metadata: { name: taken?.metadata.name ?? "", namespace: "default" },
      data: { spec: "something else" },
      revision: 7,
    });
    await made.client.create<StatefulSet>(resources.statefulSets, {
      metadata: { name: "db", namespace: "default" },
      spec: { serviceName: "db", selector: { matchLabels: { app: "db" } }, template: template("db:1") },
    });
    await live(made, 10);
    const { status } = await setNow(made);
    expect([status?.collisionCount, status?.updateRevision === taken?.metadata.name]).toEqual([1, false]);
    expect(await names(made)).toEqual(["db-0"]);
  });
});

describe("its claims", () => {
  const wanted = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
  const volumeClaimTemplates = [{ metadata: { name: "data", labels: { tier: "gold" } }, spec: wanted }];
  const claims = async (made: Cluster): Promise<string[]> =>
    (await made.all(resources.persistentVolumeClaims)).map(({ metadata }) => {
      const owner = metadata.ownerReferences?.map(({ kind, name }) => ` of ${kind} ${name}`).join() ?? "";
      return `${metadata.name ?? ""}${owner}`;
    });

  it("are made before their pods, mounted by them, and stay", async () => {
    const made = await started({ replicas: 2, volumeClaimTemplates }, 20);
    const [claim] = await made.all(resources.persistentVolumeClaims);
    expect(claim).toMatchObject({
      metadata: { name: "data-db-0", labels: { tier: "gold", app: "db" } },
      spec: { resources: { requests: { storage: "1Gi" } }, volumeMode: "Filesystem" },
    });
    expect((await made.all(resources.pods))[1]?.spec.volumes?.[0]).toEqual({
      name: "data",
      persistentVolumeClaim: { claimName: "data-db-1" },
    });
    await change(made, { replicas: 1 });
    await live(made, 10);
    expect(await claims(made)).toEqual(["data-db-0", "data-db-1"]);
    const messages = (await made.all(resources.events)).map(({ message }) => message);
    expect(messages).toContain("create Claim data-db-0 Pod db-0 in StatefulSet db success");
  });

  it("go with the set, or with a pod that is not wanted any more, where the policy says so", async () => {
    const policy = { whenDeleted: "Delete", whenScaled: "Retain" };
    const made = await started({ replicas: 2, volumeClaimTemplates, persistentVolumeClaimRetentionPolicy: policy }, 20);
    expect(await claims(made)).toEqual(["data-db-0 of StatefulSet db", "data-db-1 of StatefulSet db"]);
    await change(made, { persistentVolumeClaimRetentionPolicy: { whenScaled: "Delete" } });
    await change(made, { replicas: 1 });
    await live(made, 10);
    expect(await claims(made)).toEqual(["data-db-0 of StatefulSet db", "data-db-1 of Pod db-1"]);
    // Its former pod is gone, and the claim is not yet: a new pod must not get it.
    await change(made, { replicas: 2 });
    await live(made, 5);
    expect(await names(made)).toEqual(["db-0"]);
    await made.client.delete(resources.persistentVolumeClaims, "default", "data-db-1");
    // The part of what protects claims that are in use.
    const unprotect = merge({ metadata: { finalizers: null } });
    await made.client.patch(resources.persistentVolumeClaims, "default", "data-db-1", unprotect);
    await live(made, 40);
    expect([await names(made), await claims(made)]).toEqual([
      ["db-0", "db-1"],
      ["data-db-0 of StatefulSet db", "data-db-1 of StatefulSet db"],
    ]);
    await change(made, { persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" } });
    await live(made, 5);
    expect(await claims(made)).toEqual(["data-db-0", "data-db-1"]);
  });
});
