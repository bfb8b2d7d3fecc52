/** Where pods may go, who has to make room, and who is sent away. Each of these is tried alone: it changes a node. */
import assert from "node:assert/strict";
import { TooSmall, type Behaviours } from "../../behaviour.ts";
import { refusal, waitingPod, type Loose, type Trial } from "../../trial.ts";

const named = (rest: string): string => `[sig-scheduling] ${rest} [Conformance]`;
const RESOURCE = "example.com/conformance";

/** A node that takes pods. */
async function aNode(t: Trial): Promise<string> {
  const { items } = await t.clusterApi("v1", "nodes").list();
  const free = items.find(
    ({ spec }) => spec?.unschedulable !== true && ((spec?.taints ?? []) as unknown[]).length === 0,
  );
  assert.ok(free, "no node takes pods");
  return free.metadata.name ?? "";
}

async function labelled(t: Trial, node: string, key: string): Promise<void> {
  const nodes = t.clusterApi("v1", "nodes");
  await nodes.patch(node, { metadata: { labels: { [key]: "yes" } } });
  t.afterwards(() => nodes.patch(node, { metadata: { labels: { [key]: null } } }));
}

async function scheduled(t: Trial, pod: string): Promise<string> {
  return t.until(`${pod} has a node`, async () => {
    return ((await t.api("v1", "pods").get(pod))["spec"].nodeName as string | undefined) ?? false;
  });
}

async function notScheduled(t: Trial, pod: string): Promise<string> {
  return t.until(`${pod} is refused`, async () => {
    const { status, spec } = await t.api("v1", "pods").get(pod);
    assert.equal(spec.nodeName, undefined);
    const condition = (status.conditions ?? []).find(({ type }: { type: string }) => type === "PodScheduled");
    return condition?.status === "False" && (condition.message as string);
  });
}

/** Gives the node so many of a resource that nobody else asks for; they are gone afterwards. */
async function withResource(t: Trial, node: string, amount: number): Promise<void> {
  const nodes = t.clusterApi("v1", "nodes");
  const set = (value: string | null): Promise<Loose> =>
    nodes.patch(
      node,
      { status: { capacity: { [RESOURCE]: value }, allocatable: { [RESOURCE]: value } } },
      { subresource: "status" },
    );
  await set(String(amount));
  t.afterwards(() => set(null));
  await t.until("the node offers it", async () => {
    return (await nodes.get(node))["status"].allocatable[RESOURCE] === String(amount);
  });
}

function using(name: string, amount: number, spec: object = {}): Loose {
  const amounts = { [RESOURCE]: String(amount) };
  return waitingPod(name, {
    pod: { terminationGracePeriodSeconds: 1, ...spec },
    container: { resources: { requests: amounts, limits: amounts } },
  });
}

async function priorityClass(t: Trial, value: number): Promise<string> {
  const classes = t.clusterApi("scheduling.k8s.io/v1", "priorityclasses");
  const name = `${t.namespace}-${value}`;
  await classes.create({ metadata: { name }, value });
  t.afterwards(() => classes.delete(name));
  return name;
}

async function gone(t: Trial, pod: string): Promise<void> {
  await t.until(`${pod} is gone`, async () => {
    const { items } = await t.api("v1", "pods").list({ fieldSelector: `metadata.name=${pod}` });
    return items.length === 0;
  });
}

/** A pod of low priority fills the node; the one that comes has the node to itself in the end. */
async function preempts(t: Trial, placeImportant: () => Promise<unknown>): Promise<void> {
  const node = await aNode(t);
  await withResource(t, node, 5);
  const priorityClassName = await priorityClass(t, 1);
  await t.api("v1", "pods").create(using("low", 4, { priorityClassName }));
  await scheduled(t, "low");
  await placeImportant();
  await gone(t, "low");
}

function hostPortPod(name: string, hostIP: string, protocol: string, node: string): Loose {
  return waitingPod(name, {
    pod: { nodeSelector: { "kubernetes.io/hostname": node }, terminationGracePeriodSeconds: 1 },
    container: { ports: [{ containerPort: 8080, hostPort: 54321, hostIP, protocol }] },
  });
}

async function hostnameOf(t: Trial, node: string): Promise<string> {
  return (await t.clusterApi("v1", "nodes").get(node)).metadata.labels?.["kubernetes.io/hostname"] ?? node;
}

async function internalIp(t: Trial, node: string): Promise<string> {
  const { status } = await t.clusterApi("v1", "nodes").get(node);
  const addresses = status.addresses as { type: string; address: string }[];
  return addresses.find(({ type }) => type === "InternalIP")?.address ?? "";
}

/** A NoExecute taint on the node for as long as the trial lasts. */
async function tainted(t: Trial, node: string): Promise<() => Promise<unknown>> {
  const nodes = t.clusterApi("v1", "nodes");
  const taint = { key: "kubernetes.io/e2e-evict-taint-key", value: "evictTaintVal", effect: "NoExecute" };
  const others = (): Promise<object[]> =>
    nodes
      .get(node)
      .then(({ spec }) => ((spec?.taints ?? []) as { key: string }[]).filter(({ key }) => key !== taint.key));
  const remove = async (): Promise<unknown> => nodes.patch(node, { spec: { taints: await others() } });
  t.afterwards(remove);
  await nodes.patch(node, { spec: { taints: [...(await others()), taint] } });
  return remove;
}

function tolerating(name: string, seconds: number | undefined, node: string): Loose {
  const toleration = { key: "kubernetes.io/e2e-evict-taint-key", value: "evictTaintVal", effect: "NoExecute" };
  const tolerations = [seconds === undefined ? toleration : { ...toleration, tolerationSeconds: seconds }];
  return waitingPod(name, { pod: { tolerations, nodeName: node, terminationGracePeriodSeconds: 1 } });
}

export const placement: Behaviours = {
  [named("SchedulerPredicates [Serial] validates that NodeSelector is respected if matching")]: async (t) => {
    const node = await aNode(t);
    const key = `conformance/${t.namespace}`;
    await labelled(t, node, key);
    await t.api("v1", "pods").create(waitingPod("choosy", { pod: { nodeSelector: { [key]: "yes" } } }));
    assert.equal(await scheduled(t, "choosy"), node);
  },
  [named("SchedulerPredicates [Serial] validates that NodeSelector is respected if not matching")]: async (t) => {
    await t.api("v1", "pods").create(waitingPod("choosy", { pod: { nodeSelector: { label: "nonempty" } } }));
    assert.match(await notScheduled(t, "choosy"), /node\(s\) didn't match Pod's node affinity\/selector/);
  },
  [named("SchedulerPredicates [Serial] validates resource limits of pods that are allowed to run")]: async (t) => {
    const node = await aNode(t);
    await withResource(t, node, 3);
    await t.api("v1", "pods").create(using("fits", 2));
    await scheduled(t, "fits");
    await t.api("v1", "pods").create(using("too-much", 2));
    assert.match(await notScheduled(t, "too-much"), new RegExp(`Insufficient ${RESOURCE}`));
  },
  [named(
    "SchedulerPredicates [Serial] validates that there exists conflict between pods with same hostPort and protocol but one using 0.0.0.0 hostIP",
  )]: async (t) => {
    const node = await aNode(t);
    const hostname = await hostnameOf(t, node);
    await t.api("v1", "pods").create(hostPortPod("everywhere", "0.0.0.0", "TCP", hostname));
    await scheduled(t, "everywhere");
    await t.api("v1", "pods").create(hostPortPod("one", await internalIp(t, node), "TCP", hostname));
    assert.match(await notScheduled(t, "one"), /didn't have free ports for the requested pod ports/);
  },
  "[sig-network] HostPort validates that there is no conflict between pods with same hostPort but different hostIP and protocol [LinuxOnly] [Conformance]":
    async (t) => {
      const node = await aNode(t);
      const [hostname, ip] = [await hostnameOf(t, node), await internalIp(t, node)];
      const rows = [
        ["one", "127.0.0.1", "TCP"],
        ["two", ip, "TCP"],
        ["three", ip, "UDP"],
      ] as const;
      for (const [name, hostIP, protocol] of rows) {
        await t.api("v1", "pods").create(hostPortPod(name, hostIP, protocol, hostname));
        assert.equal(await scheduled(t, name), node);
      }
    },

  [named("SchedulerPreemption [Serial] validates basic preemption works")]: (t) =>
    preempts(t, async () => {
      const priorityClassName = await priorityClass(t, 1_000);
      await t.api("v1", "pods").create(using("high", 4, { priorityClassName }));
      await scheduled(t, "high");
    }),
  [named("SchedulerPreemption [Serial] validates lower priority pod preemption by critical pod")]: (t) =>
    preempts(t, async () => {
      const pods = `/api/v1/namespaces/kube-system/pods`;
      const pod = using(`critical-${t.namespace}`, 4, { priorityClassName: "system-cluster-critical" });
      const { status, text } = await t.client.send({ method: "POST", path: pods, body: JSON.stringify(pod) });
      assert.equal(status, 201, text);
      const path = `${pods}/${pod.metadata.name ?? ""}`;
      t.afterwards(() => t.client.send({ method: "DELETE", path: `${path}?gracePeriodSeconds=0` }));
      await t.until("the critical pod has a node", async () => {
        const found = JSON.parse((await t.client.send({ method: "GET", path })).text) as Loose;
        return found["spec"].nodeName !== undefined;
      });
    }),
  [named("SchedulerPreemption [Serial] validates pod disruption condition is added to the preempted pod")]: async (
    t,
  ) => {
    const pods = t.api("v1", "pods");
    const node = await aNode(t);
    await withResource(t, node, 5);
    const victim = using("victim", 5, { priorityClassName: await priorityClass(t, 1) });
    await pods.create({ ...victim, metadata: { ...victim.metadata, finalizers: ["example.com/kept"] } });
    const release = (): Promise<Loose> => pods.patch("victim", { metadata: { finalizers: null } });
    t.afterwards(release);
    await scheduled(t, "victim");
    await pods.create(using("preemptor", 5, { priorityClassName: await priorityClass(t, 1_000) }));
    await t.until("the victim is being deleted", async () => {
      return (await pods.get("victim")).metadata.deletionTimestamp !== undefined;
    });
    const { conditions } = (await pods.get("victim"))["status"] as { conditions: { type: string; reason: string }[] };
    assert.equal(conditions.find(({ type }) => type === "DisruptionTarget")?.reason, "PreemptionByScheduler");
    await release();
  },
  [named("SchedulerPreemption [Serial] PreemptionExecutionPath runs ReplicaSets to verify preemption running path")]:
    async (t) => {
      const node = await aNode(t);
      await withResource(t, node, 8);
      const sets = t.api("apps/v1", "replicasets");
      const make = async (name: string, replicas: number, amount: number, priority: number): Promise<void> => {
        const labels = { app: name };
        const pod = using(name, amount, { priorityClassName: await priorityClass(t, priority) });
        const template = { metadata: { labels }, spec: pod["spec"] as object };
        await sets.create({ metadata: { name }, spec: { replicas, selector: { matchLabels: labels }, template } });
      };
      const onNodes = async (app: string): Promise<number> =>
        (await t.api("v1", "pods").list({ labelSelector: `app=${app}` })).items.filter(
          ({ spec, metadata }) => spec.nodeName !== undefined && metadata.deletionTimestamp === undefined,
        ).length;
      for (const [name, replicas, amount, priority] of [
        ["p1", 5, 1, 1],
        ["p2", 3, 1, 2],
      ] as const) {
        await make(name, replicas, amount, priority);
        await t.until(`${name} is placed`, async () => (await onNodes(name)) === replicas);
      }
      await make("p4", 1, 4, 4);
      await t.until("the most important is placed", async () => (await onNodes("p4")) === 1);
      await t.until(
        "the least important made room",
        async () => (await onNodes("p1")) === 1 && (await onNodes("p2")) === 3,
      );
    },
  [named(
    "SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be operated with different HTTP methods",
  )]: async (t) => {
    const classes = t.clusterApi("scheduling.k8s.io/v1", "priorityclasses");
    const [one, two] = [await priorityClass(t, 1), await priorityClass(t, 2)];
    const listed = (await classes.list()).items.map(({ metadata }) => metadata.name);
    assert.ok(listed.includes(one) && listed.includes(two));
    assert.equal((await classes.patch(one, { description: "patched" }))["description"], "patched");
    const found = await classes.get(two);
    assert.equal((await classes.update({ ...found, description: "put" }))["description"], "put");
    assert.equal((await refusal(classes.patch(one, { value: 10 }))).code, 422);
    assert.equal((await refusal(classes.update({ ...(await classes.get(two)), value: 20 }))).code, 422);
    assert.equal((await classes.get(one))["value"], 1);
  },

  "[sig-node] NoExecuteTaintManager Single Pod [Serial] removing taint cancels eviction [Disruptive] [Conformance]":
    async (t) => {
      const node = await aNode(t);
      await t.api("v1", "pods").create(tolerating("patient", 30, node));
      await t.ready("patient");
      const remove = await tainted(t, node);
      await new Promise((resolve) => setTimeout(resolve, 10_000));
      await remove();
      await new Promise((resolve) => setTimeout(resolve, 30_000));
      assert.equal((await t.api("v1", "pods").get("patient")).metadata.deletionTimestamp, undefined);
    },
  "[sig-node] NoExecuteTaintManager Multiple Pods [Serial] evicts pods with minTolerationSeconds [Disruptive] [Conformance]":
    async (t) => {
      const node = await aNode(t);
      await t.api("v1", "pods").create(tolerating("soon", 5, node));
      await t.api("v1", "pods").create(tolerating("later", 25, node));
      await Promise.all([t.ready("soon"), t.ready("later")]);
      await tainted(t, node);
      await gone(t, "soon");
      assert.equal((await t.api("v1", "pods").get("later")).metadata.deletionTimestamp, undefined);
      await gone(t, "later");
    },
  "[sig-node] Node Lifecycle should run through the lifecycle of a node [Conformance]": async (t) => {
    const nodes = t.clusterApi("v1", "nodes");
    const name = `e2e-${t.namespace}`;
    const created = await nodes.create({
      metadata: { name, labels: { fake: t.namespace } },
      spec: { unschedulable: true },
    });
    t.afterwards(() => nodes.delete(name));
    assert.equal((await nodes.get(name)).metadata.uid, created.metadata.uid);
    assert.equal(
      (await nodes.patch(name, { metadata: { labels: { [name]: "patched" } } })).metadata.labels?.[name],
      "patched",
    );
    assert.equal((await nodes.list({ labelSelector: `${name}=patched` })).items.length, 1);
    await t.until("it is updated", async () => {
      const now = await nodes.get(name);
      return nodes
        .update({ ...now, metadata: { ...now.metadata, labels: { ...now.metadata.labels, [name]: "updated" } } })
        .catch(() => undefined);
    });
    assert.equal((await nodes.list({ labelSelector: `${name}=updated` })).items.length, 1);
    await nodes.delete(name);
    await t.until(
      "it is gone",
      async () => (await nodes.list({ labelSelector: `fake=${t.namespace}` })).items.length === 0,
    );
  },
  "[sig-architecture] Conformance Tests should have at least two untainted nodes [Conformance]": async (t) => {
    const { items } = await t.clusterApi("v1", "nodes").list();
    const free = items.filter(
      ({ spec }) => spec?.unschedulable !== true && ((spec?.taints ?? []) as unknown[]).length === 0,
    );
    assert.ok(free.length >= 1, "no node takes pods");
    if (free.length < 2) throw new TooSmall("two nodes must take pods, and it has one");
  },
};
