/** What keeps pods running, whose pods a hand starts and ends as kubelets would. */
import type { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet } from "@pilothouse/api/types/apps-v1";
import type { Node, Pod, ReplicationController } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient, type KubernetesObject } from "@pilothouse/client";
import type { Scenario } from "../scenario.ts";
import { controllerManager } from "../subjects.ts";
import { account, merge, NAMESPACE } from "./acts.ts";

const PODS = "/registry/core/pods/";
const STARTS_AFTER_MS = 300;
const ENDS_AFTER_MS = 200;

const template = (image: string) => ({
  metadata: { labels: { app: "web" } },
  // Its volume would have a random name.
  spec: { automountServiceAccountToken: false, containers: [{ name: "web", image }] },
});

const claimed = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };

const scaleReplicaSet = (replicas: number) => (client: ApiClient) =>
  client.patch(resources.replicaSets, NAMESPACE, "web", merge({ spec: { replicas } }));

const scaleReplicationController = (replicas: number) => (client: ApiClient) =>
  client.patch(resources.replicationControllers, NAMESPACE, "web", merge({ spec: { replicas } }));

const changeDeployment = (spec: object) => (client: ApiClient) =>
  client.patch(resources.deployments, NAMESPACE, "web", merge({ spec }));

/** A pod runs and is ready soon after it was made, and is gone soon after it was asked to go. */
const playKubelet: NonNullable<Scenario["others"]> = ({ objects }, { after }) => {
  for (const [key, object] of objects) {
    if (!key.startsWith(PODS)) continue;
    const { metadata, status } = object as Pod;
    const { name = "", uid = "" } = metadata;
    if (metadata.deletionTimestamp !== undefined)
      after(ENDS_AFTER_MS, (client) => client.delete(resources.pods, NAMESPACE, name, { uid, gracePeriodSeconds: 0 }));
    else if (status?.phase !== "Running")
      after(STARTS_AFTER_MS, (client) =>
        client.patch(resources.pods, NAMESPACE, name, merge({ metadata: { uid }, status: running }), {
          subresource: "status",
        }),
      );
  }
};

const running = {
  phase: "Running",
  conditions: [{ type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" }],
};

const changeStatefulSet = (spec: object) => (client: ApiClient) =>
  client.patch(resources.statefulSets, NAMESPACE, "web", merge({ spec }));

const changeDaemonSet = (spec: object) => (client: ApiClient) =>
  client.patch(resources.daemonSets, NAMESPACE, "web", merge({ spec }));

/** It is new, and its kubelet and the node-lifecycle controller have told that it is ready. */
const makeNode = (name: string) => async (client: ApiClient) => {
  await client.create<Node>(resources.nodes, { metadata: { name }, spec: {} });
  await client.patch(resources.nodes, "", name, merge({ spec: { taints: null } }));
};

const deleteOnePod = async (client: ApiClient): Promise<void> => {
  const { items } = await client.list(resources.pods, NAMESPACE, { labelSelector: "app=web" });
  const made = items.map(({ metadata }) => metadata.name ?? "").filter((name) => name !== "stray");
  const [first] = made.sort();
  if (first !== undefined) await client.delete(resources.pods, NAMESPACE, first);
};

export const workloads: readonly Scenario[] = [
  {
    name: "replicaset",
    subject: controllerManager("replicaset"),
    others: playKubelet,
    keepsInvariants: true,
    steps: [
      { afterMs: 0, does: "makes the account that pods run as", run: account },
      {
        afterMs: 200,
        does: "makes a pod that somebody could adopt",
        run: (client) =>
          client.create(resources.pods, {
            metadata: { name: "stray", namespace: NAMESPACE, ...template("web").metadata },
            spec: template("web").spec,
          }),
      },
      {
        afterMs: 500,
        does: "makes a ReplicaSet of 2",
        run: (client) =>
          client.create<ReplicaSet>(resources.replicaSets, {
            metadata: { name: "web", namespace: NAMESPACE },
            spec: { replicas: 2, selector: { matchLabels: { app: "web" } }, template: template("web") },
          }),
      },
      { afterMs: 2_000, does: "scales to 4", run: scaleReplicaSet(4) },
      { afterMs: 2_000, does: "deletes a pod", run: deleteOnePod },
      {
        afterMs: 2_000,
        does: "takes the stray pod's label away",
        run: (client) =>
          client.patch(resources.pods, NAMESPACE, "stray", merge({ metadata: { labels: { app: "other" } } })),
      },
      { afterMs: 2_000, does: "scales to 1", run: scaleReplicaSet(1) },
      { afterMs: 2_000, does: "scales to 2", run: scaleReplicaSet(2) },
    ],
  },
  {
    name: "replicationcontroller",
    subject: controllerManager("replicationcontroller"),
    others: playKubelet,
    steps: [
      { afterMs: 0, does: "makes the account that pods run as", run: account },
      {
        afterMs: 200,
        does: "makes a ReplicationController of 1",
        run: (client) =>
          client.create<ReplicationController>(resources.replicationControllers, {
            metadata: { name: "web", namespace: NAMESPACE },
            spec: { replicas: 1, selector: { app: "web" }, template: template("web") },
          }),
      },
      { afterMs: 2_000, does: "scales to 2", run: scaleReplicationController(2) },
      { afterMs: 2_000, does: "deletes a pod", run: deleteOnePod },
      { afterMs: 2_000, does: "scales to 1", run: scaleReplicationController(1) },
    ],
  },
  {
    name: "deployment",
    subject: controllerManager("deployment", "replicaset"),
    others: playKubelet,
    keepsInvariants: true,
    end: exceptHistory,
    steps: [
      { afterMs: 0, does: "makes the account that pods run as", run: account },
      {
        afterMs: 200,
        does: "makes a Deployment of 1",
        run: (client) =>
          client.create<Deployment>(resources.deployments, {
            metadata: { name: "web", namespace: NAMESPACE },
            spec: { replicas: 1, selector: { matchLabels: { app: "web" } }, template: template("web:v1") },
          }),
      },
      { afterMs: 3_000, does: "rolls to v2", run: changeDeployment({ template: template("web:v2") }) },
      { afterMs: 500, does: "scales to 2 meanwhile", run: changeDeployment({ replicas: 2 }) },
      { afterMs: 4_000, does: "rolls back", run: changeDeployment({ template: template("web:v1") }) },
    ],
  },
  {
    name: "statefulset",
    subject: controllerManager("statefulset"),
    others: playKubelet,
    end: exceptHistory,
    steps: [
      { afterMs: 0, does: "makes the account that pods run as", run: account },
      {
        afterMs: 200,
        does: "makes a StatefulSet of 2, with a claim each",
        run: (client) =>
          client.create<StatefulSet>(resources.statefulSets, {
            metadata: { name: "web", namespace: NAMESPACE },
            spec: {
              replicas: 2,
              serviceName: "web",
              selector: { matchLabels: { app: "web" } },
              template: template("web:v1"),
              volumeClaimTemplates: [{ metadata: { name: "data" }, spec: claimed }],
            },
          }),
      },
      { afterMs: 4_000, does: "rolls to v2", run: changeStatefulSet({ template: template("web:v2") }) },
      { afterMs: 5_000, does: "deletes a pod", run: deleteOnePod },
      { afterMs: 3_000, does: "scales to 1", run: changeStatefulSet({ replicas: 1 }) },
    ],
  },
  {
    name: "daemonset",
    subject: controllerManager("daemonset"),
    others: playKubelet,
    end: exceptHistory,
    steps: [
      { afterMs: 0, does: "makes the account that pods run as", run: account },
      { afterMs: 100, does: "makes a node", run: makeNode("n1") },
      {
        afterMs: 200,
        does: "makes a DaemonSet",
        run: (client) =>
          client.create<DaemonSet>(resources.daemonSets, {
            metadata: { name: "web", namespace: NAMESPACE },
            spec: { selector: { matchLabels: { app: "web" } }, template: template("web:v1") },
          }),
      },
      { afterMs: 2_000, does: "makes another node", run: makeNode("n2") },
      { afterMs: 2_000, does: "rolls to v2", run: changeDaemonSet({ template: template("web:v2") }) },
      { afterMs: 4_000, does: "deletes a pod", run: deleteOnePod },
      {
        afterMs: 2_000,
        does: "taints a node",
        run: (client) =>
          client.patch(resources.nodes, "", "n1", merge({ spec: { taints: [{ key: "mine", effect: "NoExecute" }] } })),
      },
    ],
  },
];

/**
 * Whether a template was ever tried, and as which revision, is history: what was not seen leaves no trace. So are the claims of
 * pods that were there for a time only.
 */
function exceptHistory(objects: readonly KubernetesObject[]): readonly KubernetesObject[] {
  const pods = objects.flatMap((object) => (object.kind === "Pod" ? [object as Pod] : []));
  const claims = pods
    .flatMap(({ spec }) => spec.volumes ?? [])
    .map((volume) => volume.persistentVolumeClaim?.claimName);
  const revisions = pods.map(({ metadata }) => metadata.labels?.["controller-revision-hash"]);
  const isInUse = (object: KubernetesObject): boolean => {
    const { name = "", labels } = object.metadata;
    if (object.kind === "ReplicaSet") return (object as ReplicaSet).spec.replicas !== 0;
    if (object.kind === "PersistentVolumeClaim") return claims.includes(name);
    if (object.kind === "ControllerRevision")
      return [name, labels?.["controller-revision-hash"]].some((revision) => revisions.includes(revision));
    return true;
  };
  return objects.filter(isInUse).map(withoutRevision);
}

function withoutRevision(object: KubernetesObject): KubernetesObject {
  const { annotations = {}, ...metadata } = object.metadata;
  const kept = Object.entries(annotations).filter(([name]) => !name.startsWith("deployment.kubernetes.io/revision"));
  const { revision: _number, ...others } = object as ControllerRevision;
  return { ...others, metadata: { ...metadata, annotations: Object.fromEntries(kept) } };
}
