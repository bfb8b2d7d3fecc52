/** Nodes that come, fall silent and go, and the pods on them. */
import type { Lease } from "@pilothouse/api/types/coordination-v1";
import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient, type KubernetesObject } from "@pilothouse/client";
import type { StoreChange } from "@pilothouse/store";
import { changedKey, type Commit } from "../../store.ts";
import type { Others, Scenario, Step } from "../scenario.ts";
import { controllerManager, scheduler } from "../subjects.ts";
import { account, merge, NAMESPACE } from "./acts.ts";

const ready = (status: string) => ({
  type: "Ready",
  status,
  lastHeartbeatTime: "2026-01-01T00:00:00Z",
  lastTransitionTime: "2026-01-01T00:00:00Z",
});

const node = (name: string, podCidr?: string) => (client: ApiClient) =>
  client.create<Node>(resources.nodes, {
    metadata: { name },
    spec: podCidr === undefined ? {} : { podCIDR: podCidr, podCIDRs: [podCidr] },
  });

const deleteNode = (name: string) => (client: ApiClient) => client.delete(resources.nodes, "", name);

const nodeReady = (name: string) => (client: ApiClient) =>
  client.patch(
    resources.nodes,
    "",
    name,
    merge({ status: { conditions: [ready("True")], allocatable, capacity: allocatable } }),
    {
      subresource: "status",
    },
  );

const allocatable = { cpu: "2", memory: "4Gi", pods: "3" };

const pod =
  (name: string, spec: Partial<Pod["spec"]> = {}) =>
  (client: ApiClient) =>
    client.create<Pod>(resources.pods, {
      metadata: { name, namespace: NAMESPACE },
      spec: { automountServiceAccountToken: false, containers: [{ name: "web", image: "web" }], ...spec },
    });

const setStatus = (name: string, status: object) => (client: ApiClient) =>
  client.patch(resources.pods, NAMESPACE, name, merge({ status }), { subresource: "status" });

const deletePod = (name: string) => (client: ApiClient) => client.delete(resources.pods, NAMESPACE, name);

const renewLease =
  (name: string, renewTime: string) =>
  async (client: ApiClient): Promise<void> => {
    const namespace = "kube-node-lease";
    const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime };
    const patched = client.patch(resources.leases, namespace, name, merge({ spec }));
    await patched.catch(() => client.create<Lease>(resources.leases, { metadata: { name, namespace }, spec }));
  };

const SIGN_OF_LIFE_MS = 10_000;

/** From when this node is there on, its kubelet says that it lives. */
const keepAlive =
  (name: string): NonNullable<Scenario["others"]> =>
  ({ changes }, { after }) => {
    const isMade = changes.some((change) => changedKey(change) === `/registry/core/nodes/${name}` && isCreated(change));
    if (!isMade) return;
    let seconds = 0;
    const beat = async (client: ApiClient): Promise<void> => {
      await renewLease(name, new Date((seconds += 10) * 1_000).toISOString())(client);
      after(SIGN_OF_LIFE_MS, beat);
    };
    after(0, beat);
  };

const isCreated = (change: StoreChange): boolean => change.type === "put" && change.previous === undefined;

/** Half of the node, and there already: who has to go does not depend on when the scheduler was away. */
const onA: Partial<Pod["spec"]> = { ...half(), nodeName: "a" };

const accountFirst: Step = { afterMs: 0, does: "makes the account that pods run as", run: account };

export const nodes: readonly Scenario[] = [
  {
    name: "node-ipam",
    subject: controllerManager("node-ipam"),
    end: withoutNumbersOfBlocks,
    steps: [
      { afterMs: 0, does: "adds a node", run: node("a") },
      { afterMs: 500, does: "adds one that has its block", run: node("b", "198.18.1.0/24") },
      { afterMs: 500, does: "adds a third", run: node("c") },
      { afterMs: 500, does: "removes the first", run: deleteNode("a") },
      { afterMs: 500, does: "adds it again", run: node("a") },
    ],
  },
  {
    name: "node-lifecycle",
    subject: controllerManager("node-lifecycle"),
    others: keepAlive("a"),
    settlesWithinMs: 240_000,
    steps: [
      accountFirst,
      ...["a", "b"].flatMap((name): Step[] => [
        { afterMs: 100, does: `adds node ${name}`, run: node(name) },
        { afterMs: 100, does: `${name} is ready`, run: nodeReady(name) },
      ]),
      {
        afterMs: 100,
        does: "runs a pod that is soon to go",
        run: pod("short", { nodeName: "b", tolerations: tolerate(5) }),
      },
      {
        afterMs: 100,
        does: "and one that stays",
        run: pod("long", { nodeName: "b", tolerations: tolerate(undefined) }),
      },
      {
        afterMs: 100,
        does: "the one is ready",
        run: setStatus("short", { phase: "Running", conditions: [ready("True")] }),
      },
      {
        afterMs: 100,
        does: "the other too",
        run: setStatus("long", { phase: "Running", conditions: [ready("True")] }),
      },
      {
        afterMs: 5_000,
        does: "b says that it lives, for the last time",
        run: renewLease("b", "2026-01-01T00:00:00.000000Z"),
      },
    ],
  },
  {
    name: "pod-gc",
    subject: controllerManager("pod-gc"),
    settlesWithinMs: 150_000,
    steps: [
      accountFirst,
      { afterMs: 100, does: "adds a node", run: node("a") },
      { afterMs: 100, does: "runs a pod on it", run: pod("on-a", { nodeName: "a" }) },
      { afterMs: 100, does: "runs a pod on a node that comes later", run: pod("on-b", { nodeName: "b" }) },
      { afterMs: 100, does: "makes a pod for no node", run: pod("pending") },
      { afterMs: 500, does: "the node comes", run: node("b") },
      { afterMs: 500, does: "removes the first node", run: deleteNode("a") },
      { afterMs: 500, does: "asks for the end of the pod without a node", run: deletePod("pending") },
    ],
  },
  {
    name: "scheduler",
    subject: scheduler,
    steps: [
      accountFirst,
      { afterMs: 200, does: "makes a pod before there is a node", run: pod("early") },
      { afterMs: 500, does: "adds a node", run: node("a") },
      { afterMs: 500, does: "the node is ready", run: nodeReady("a") },
      { afterMs: 500, does: "makes a pod", run: pod("second") },
      { afterMs: 500, does: "makes another", run: pod("third") },
      { afterMs: 500, does: "makes one for which there is no room", run: pod("waits") },
      {
        afterMs: 1_000,
        does: "removes one",
        run: (client) => client.delete(resources.pods, NAMESPACE, "second", { gracePeriodSeconds: 0 }),
      },
    ],
  },
  {
    name: "scheduler-preempts",
    subject: scheduler,
    others: endTheDeleted,
    steps: [
      accountFirst,
      { afterMs: 100, does: "makes a class of important pods", run: importantClass },
      { afterMs: 100, does: "adds a node", run: node("a") },
      { afterMs: 100, does: "the node is ready", run: nodeReady("a") },
      { afterMs: 500, does: "makes a pod that takes half of it", run: pod("low-1", onA) },
      { afterMs: 500, does: "makes another", run: pod("low-2", onA) },
      { afterMs: 500, does: "makes an important one", run: pod("high", half("important")) },
      { afterMs: 5_000, does: "makes one that has to wait", run: pod("late", half()) },
    ],
  },
];

function importantClass(client: ApiClient): Promise<unknown> {
  const body = {
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name: "important" },
    value: 1_000,
  };
  return client.raw("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", {
    contentType: "application/json",
    body: Buffer.from(JSON.stringify(body)),
  });
}

function half(priorityClassName?: string): Partial<Pod["spec"]> {
  return {
    containers: [{ name: "web", image: "web", resources: { requests: { cpu: "1" } } }],
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
  };
}

/** Plays the kubelet for pods that are told to go. */
function endTheDeleted({ objects }: Commit, { after }: Others): void {
  for (const { kind, metadata } of objects.values()) {
    if (kind !== "Pod" || metadata.deletionTimestamp === undefined) continue;
    const { name = "" } = metadata;
    after(300, (client) => client.delete(resources.pods, NAMESPACE, name, { gracePeriodSeconds: 0 }));
  }
}

function tolerate(seconds: number | undefined): NonNullable<Pod["spec"]["tolerations"]> {
  const end = seconds === undefined ? {} : { tolerationSeconds: seconds };
  return ["not-ready", "unreachable"].map((key) => ({
    key: `node.kubernetes.io/${key}`,
    operator: "Exists",
    effect: "NoExecute",
    ...end,
  }));
}

/** Which block a node got depends on what was seen when; that no two have the same one does not. */
function withoutNumbersOfBlocks(objects: readonly KubernetesObject[]): readonly KubernetesObject[] {
  const blockOf = (object: KubernetesObject): string | undefined => (object as Node).spec?.podCIDR;
  return objects.map((object) => {
    if (object.kind !== "Node" || blockOf(object) === undefined) return object;
    const sharers = objects.filter((other) => blockOf(other) === blockOf(object)).length;
    return { ...object, spec: { ...(object as Node).spec, podCIDR: `shared by ${sharers}`, podCIDRs: [] } };
  });
}
