/** What the conformance suite asks of DaemonSets, and what goes beyond it, against the real apiserver. */
import type { DaemonSet, DaemonSetSpec } from "@pilothouse/api/types/apps-v1";
import type { Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { fail, live, type Fates } from "../../pods.fixture.ts";
import { Failures } from "./failures.ts";
import { startDaemonSetController } from "./reconcile.ts";

const open: Cluster[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

const merge = (body: object) => ({ type: "application/merge-patch+json", body }) as const;
const template = (image: string, spec: Partial<PodSpec> = {}) => ({
  metadata: { labels: { app: "log" } },
  spec: { containers: [{ name: "log", image }], ...spec },
});

/** One that is ready: the node-lifecycle controller, which is not here, has taken the taint of new ones away. */
async function makeNode({ client }: Cluster, name: string, labels: Record<string, string> = {}): Promise<void> {
  await client.create(resources.nodes, { metadata: { name, labels }, spec: {} });
  await client.patch(resources.nodes, "", name, merge({ spec: { taints: null } }));
}

async function started(spec: Partial<DaemonSetSpec>, fates: Fates = {}): Promise<Cluster> {
  const made = await cluster("daemons");
  open.push(made);
  startDaemonSetController(made.ports);
  await made.client.create(resources.serviceAccounts, { metadata: { name: "default", namespace: "default" } });
  for (const name of ["n1", "n2", "n3"]) await makeNode(made, name);
  await made.client.create<DaemonSet>(resources.daemonSets, {
    metadata: { name: "log", namespace: "default" },
    spec: { selector: { matchLabels: { app: "log" } }, template: template("log:1"), ...spec },
  });
  await live(made, 10, fates);
  return made;
}

const change = (made: Cluster, spec: object) =>
  made.client.patch(resources.daemonSets, "default", "log", merge({ spec }));
const setNow = async (made: Cluster): Promise<DaemonSet> =>
  (await made.find(resources.daemonSets, "default", "log")) as DaemonSet;
/** `n1 log:1`, sorted. */
const running = async (made: Cluster): Promise<string[]> =>
  (await made.all(resources.pods))
    .map(({ spec }) => `${spec.nodeName ?? ""} ${spec.containers[0]?.image ?? ""}`)
    .sort();
const uids = async (made: Cluster): Promise<string[]> =>
  (await made.all(resources.pods)).map(({ metadata }) => metadata.uid ?? "").sort();
const ALL = ["n1 log:1", "n2 log:1", "n3 log:1"];
const ALL_2 = ["n1 log:2", "n2 log:2", "n3 log:2"];
const rolling = (maxUnavailable: number | string, maxSurge: number | string) => ({
  updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable, maxSurge } },
});

describe("the DaemonSet controller", () => {
  it("runs one pod on each node, pinned to it, past what is wrong with it; and tells what there is", async () => {
    const made = await started({});
    expect(await running(made)).toEqual(ALL);
    const [pod] = await made.all(resources.pods);
    const [revision] = await made.all(resources.controllerRevisions);
    const hash = revision?.metadata.labels?.["controller-revision-hash"];
    expect(revision?.metadata.name).toBe(`log-${hash}`);
    expect(pod?.metadata).toMatchObject({
      name: expect.stringMatching(/^log-[b-z2-9]{5}$/),
      labels: { app: "log", "controller-revision-hash": hash, "pod-template-generation": "1" },
      ownerReferences: [{ apiVersion: "apps/v1", kind: "DaemonSet", name: "log", controller: true }],
    });
    expect(pod?.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution).toEqual({
      nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: [pod?.spec.nodeName] }] }],
    });
    expect(pod?.spec.tolerations?.map(({ key, effect }) => `${key}:${effect}`)).toEqual([
      "node.kubernetes.io/not-ready:NoExecute",
      "node.kubernetes.io/unreachable:NoExecute",
      "node.kubernetes.io/disk-pressure:NoSchedule",
      "node.kubernetes.io/memory-pressure:NoSchedule",
      "node.kubernetes.io/pid-pressure:NoSchedule",
      "node.kubernetes.io/unschedulable:NoSchedule",
    ]);
    expect((await setNow(made)).status).toEqual({
      observedGeneration: 1,
      desiredNumberScheduled: 3,
      currentNumberScheduled: 3,
      numberMisscheduled: 0,
      numberReady: 3,
      updatedNumberScheduled: 3,
      numberAvailable: 3,
    });
    const writes = made.writes.length;
    await made.pass(5_000);
    expect([made.writes.slice(writes), made.failures]).toEqual([[], []]);
  });

  it("makes a pod again that was deleted", async () => {
    const made = await started({});
    const [pod] = await made.all(resources.pods);
    await made.client.delete(resources.pods, "default", pod?.metadata.name ?? "");
    await live(made, 10);
    expect(await running(made)).toEqual(ALL);
    expect(await uids(made)).not.toContain(pod?.metadata.uid);
  });

  it("follows the labels of nodes, nodes that come, and its own selector", async () => {
    const made = await started({ template: template("log:1", { nodeSelector: { color: "blue" } }) });
    expect(await running(made)).toEqual([]);
    const paint = (name: string, color: string) =>
      made.client.patch(resources.nodes, "", name, merge({ metadata: { labels: { color } } }));
    await paint("n1", "blue");
    await live(made, 10);
    expect(await running(made)).toEqual(["n1 log:1"]);
    await paint("n1", "green");
    await live(made, 10);
    expect(await running(made)).toEqual([]);
    await change(made, { template: template("log:1", { nodeSelector: { color: "green" } }) });
    await makeNode(made, "n4", { color: "green" });
    await live(made, 10);
    expect(await running(made)).toEqual(["n1 log:1", "n4 log:1"]);
    expect((await setNow(made)).status).toMatchObject({ desiredNumberScheduled: 2, numberMisscheduled: 0 });
  });

  it("leaves where a taint allows no new pods what is there, and goes where one throws pods out", async () => {
    const made = await started({});
    const taint = (name: string, effect: string) =>
      made.client.patch(resources.nodes, "", name, merge({ spec: { taints: [{ key: "mine", effect }] } }));
    await taint("n1", "NoSchedule");
    await taint("n2", "NoExecute");
    await live(made, 10);
    expect(await running(made)).toEqual(["n1 log:1", "n3 log:1"]);
    expect((await setNow(made)).status).toMatchObject({ desiredNumberScheduled: 1, numberMisscheduled: 1 });
    const kept = (await made.all(resources.pods)).find(({ spec }) => spec.nodeName === "n1");
    await made.client.delete(resources.pods, "default", kept?.metadata.name ?? "");
    await live(made, 10);
    expect(await running(made)).toEqual(["n3 log:1"]);
  });

  it("makes a pod again that has failed, and waits longer each time", async () => {
    const made = await started({});
    const onFirst = async (): Promise<Pod> =>
      (await made.all(resources.pods)).find(({ spec }) => spec.nodeName === "n1") as Pod;
    const before = await onFirst();
    await fail(made, before);
    await live(made, 5);
    const second = await onFirst();
    expect(second.metadata.uid).not.toBe(before.metadata.uid);
    await fail(made, second);
    await live(made, 2);
    expect((await onFirst()).status?.phase).toBe("Failed");
    await live(made, 15);
    expect((await onFirst()).status?.phase).toBe("Running");
    const name = before.metadata.name ?? "";
    const told = (await made.all(resources.events)).map(({ reason, message }) => [reason, message]);
    expect(told).toContainEqual([
      "FailedDaemonPod",
      `Found failed daemon pod default/${name} on node n1, will try to kill it`,
    ]);
  });

  it("makes a pod again at once that has ended well, as those of a node that was shut down do", async () => {
    const made = await started({});
    const [before] = (await made.all(resources.pods)).filter(({ spec }) => spec.nodeName === "n1");
    await made.client.update(
      resources.pods,
      { ...(before as Pod), status: { ...before?.status, phase: "Succeeded" } },
      { subresource: "status" },
    );
    await live(made, 5);
    expect(await running(made)).toEqual(ALL);
    const [after] = (await made.all(resources.pods)).filter(({ spec }) => spec.nodeName === "n1");
    expect([after?.status?.phase, after?.metadata.uid === before?.metadata.uid]).toEqual(["Running", false]);
    const name = before?.metadata.name ?? "";
    expect(
      (await made.all(resources.events)).map(({ reason, message, type }) => [type, reason, message]),
    ).toContainEqual([
      "Normal",
      "SucceededDaemonPod",
      `Found succeeded daemon pod default/${name} on node n1, will try to delete it`,
    ]);
  });

  it("rolls node after node, and back without touching pods that are right already", async () => {
    const made = await started({});
    const before = await uids(made);
    await change(made, { template: template("log:2") });
    const broken = ({ spec }: Pod): boolean => spec.containers[0]?.image !== "log:2";
    await live(made, 15, { ready: broken });
    // One is missing, so no other goes.
    expect((await running(made)).filter((one) => one.endsWith(":2"))).toHaveLength(1);
    expect((await setNow(made)).status).toMatchObject({ updatedNumberScheduled: 1, numberUnavailable: 1 });
    await change(made, { template: template("log:1") });
    await live(made, 15, { ready: broken });
    expect(await running(made)).toEqual(ALL);
    const after = await uids(made);
    expect(after.filter((uid) => before.includes(uid))).toHaveLength(2);
    const revisions = await made.all(resources.controllerRevisions);
    expect(revisions.map(({ revision }) => revision).sort((a, b) => a - b)).toEqual([2, 3]);
    await change(made, { template: template("log:2") });
    await live(made, 40);
    expect(await running(made)).toEqual(ALL_2);
    expect((await setNow(made)).status).toMatchObject({ updatedNumberScheduled: 3, numberAvailable: 3 });
  });

  it("replaces as many at a time as may be unavailable", async () => {
    const made = await started(rolling("50%", 0));
    await change(made, { template: template("log:2") });
    await live(made, 2, { ends: () => false });
    const going = (await made.all(resources.pods)).filter(({ metadata }) => metadata.deletionTimestamp !== undefined);
    expect(going).toHaveLength(2);
    await live(made, 20);
    expect(await running(made)).toEqual(ALL_2);
  });

  it("surges: the old pod goes when the new one beside it is available", async () => {
    const made = await started(rolling(0, 1));
    await change(made, { template: template("log:2") });
    const broken = ({ spec }: Pod): boolean => spec.containers[0]?.image !== "log:2";
    await live(made, 10, { ready: broken });
    const both = await running(made);
    expect(both).toHaveLength(4);
    expect(both).toEqual(expect.arrayContaining(ALL));
    await live(made, 30);
    expect(await running(made)).toEqual(ALL_2);
  });

  it("with OnDelete waits until a pod is deleted", async () => {
    const made = await started({ updateStrategy: { type: "OnDelete" } });
    await change(made, { template: template("log:2") });
    await live(made, 10);
    expect(await running(made)).toEqual(ALL);
    const first = (await made.all(resources.pods)).find(({ spec }) => spec.nodeName === "n1");
    await made.client.delete(resources.pods, "default", first?.metadata.name ?? "");
    await live(made, 10);
    expect(await running(made)).toEqual(["n1 log:2", "n2 log:1", "n3 log:1"]);
  });

  it("takes over pods and history of a set of its name whose dependents were left", async () => {
    const made = await started({});
    const before = await uids(made);
    const { spec } = await setNow(made);
    await made.client.delete(resources.daemonSets, "default", "log", { propagationPolicy: "Orphan" });
    const orphan = merge({ metadata: { ownerReferences: null } });
    for (const { metadata } of await made.all(resources.pods))
      await made.client.patch(resources.pods, "default", metadata.name ?? "", orphan);
    for (const { metadata } of await made.all(resources.controllerRevisions))
      await made.client.patch(resources.controllerRevisions, "default", metadata.name ?? "", orphan);
    await made.client.patch(resources.daemonSets, "default", "log", merge({ metadata: { finalizers: null } }));
    await made.pass(200);
    await made.client.create<DaemonSet>(resources.daemonSets, {
      metadata: { name: "log", namespace: "default" },
      spec,
    });
    await live(made, 10);
    expect(await uids(made)).toEqual(before);
    const { uid } = (await setNow(made)).metadata;
    const owners = (await made.all(resources.controllerRevisions)).map(
      ({ metadata }) => metadata.ownerReferences?.[0]?.uid,
    );
    expect(owners).toEqual([uid]);
  });
});

describe("its history", () => {
  it("is no longer than its limit", async () => {
    const made = await started({ revisionHistoryLimit: 1 });
    for (const image of ["log:2", "log:3", "log:4"]) {
      await change(made, { template: template(image) });
      await live(made, 30);
    }
    const kept = await made.all(resources.controllerRevisions);
    expect(kept.map(({ revision }) => revision).sort((a, b) => a - b)).toEqual([3, 4]);
  });

  it("merges what says the same, without making pods again", async () => {
    const made = await started({});
    const before = await uids(made);
    const [first] = await made.all(resources.controllerRevisions);
    const { labels, ownerReferences } = first?.metadata ?? {};
    await made.client.create(resources.controllerRevisions, {
      metadata: {
        name: "log-again",
        namespace: "default",
        labels: { ...labels, "controller-revision-hash": "again" },
        ...(ownerReferences ? { ownerReferences } : {}),
      },
      data: first?.data,
      revision: 2,
    });
    await live(made, 3);
    // Whether it was seen by now or not: a change makes the controller look.
    await change(made, { minReadySeconds: 1 });
    await live(made, 20);
    expect((await made.all(resources.controllerRevisions)).map(({ metadata }) => metadata.name)).toEqual(["log-again"]);
    expect(await uids(made)).toEqual(before);
    const hashes = (await made.all(resources.pods)).map(
      ({ metadata }) => metadata.labels?.["controller-revision-hash"],
    );
    expect(hashes).toEqual(["again", "again", "again"]);
  });
});

it("a node's failures double the wait up to a quarter of an hour, and are forgotten", () => {
  const failures = new Failures();
  expect(failures.untilMs("n1", 0)).toBe(0);
  const waits = Array.from({ length: 12 }, () => {
    failures.failed("n1", 0);
    return failures.untilMs("n1", 0);
  });
  expect([waits[0], waits[1], waits[2], waits.at(-1)]).toEqual([1_000, 2_000, 4_000, 900_000]);
  expect(failures.untilMs("n1", 1_800_001)).toBe(0);
  expect(failures.untilMs("n2", 0)).toBe(0);
});
