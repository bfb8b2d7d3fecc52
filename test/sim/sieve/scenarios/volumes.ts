/** Claims and volumes that come, find each other, and go. */
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import { resources, type ApiClient, type KubernetesObject } from "@pilothouse/client";
import { SELECTED_NODE } from "@pilothouse/kinds/core/volume-binding";
import type { Scenario } from "../scenario.ts";
import { controllerManager } from "../subjects.ts";
import { account, merge, NAMESPACE } from "./acts.ts";

/** Each pair is of a class of its own: which volume a claim gets does not depend on which were seen. */
const claim =
  (name: string, storage: string, storageClassName = "") =>
  (client: ApiClient) =>
    client.create<PersistentVolumeClaim>(resources.persistentVolumeClaims, {
      metadata: { name, namespace: NAMESPACE },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage } }, storageClassName },
    });

const volume =
  (name: string, storage: string, storageClassName = "", keptFor?: string) =>
  (client: ApiClient) =>
    client.create<PersistentVolume>(resources.persistentVolumes, {
      metadata: { name },
      spec: {
        capacity: { storage },
        storageClassName,
        accessModes: ["ReadWriteOnce"],
        hostPath: { path: `/disks/${name}` },
        ...(keptFor === undefined ? {} : { claimRef: { namespace: NAMESPACE, name: keptFor } }),
      },
    });

const deleteClaim = (name: string) => (client: ApiClient) =>
  client.delete(resources.persistentVolumeClaims, NAMESPACE, name);

const user = (client: ApiClient): Promise<Pod> =>
  client.create<Pod>(resources.pods, {
    metadata: { name: "user", namespace: NAMESPACE },
    spec: {
      nodeName: "a",
      automountServiceAccountToken: false,
      containers: [{ name: "web", image: "web" }],
      volumes: [{ name: "data", persistentVolumeClaim: { claimName: "used" } }],
    },
  });

const phase = (name: string, to: string) => (client: ApiClient) =>
  client.patch(resources.persistentVolumes, "", name, merge({ status: { phase: to } }), { subresource: "status" });

/** A class whose volumes are directories of nodes, made once a pod's node is chosen. */
const localClass = (client: ApiClient) =>
  client.create<StorageClass>(resources.storageClasses, {
    metadata: { name: "standard" },
    provisioner: "pilothouse.io/local-volume",
    volumeBindingMode: "WaitForFirstConsumer",
  });

const chooseNode = (name: string) => (client: ApiClient) =>
  client.patch(
    resources.persistentVolumeClaims,
    NAMESPACE,
    name,
    merge({ metadata: { annotations: { [SELECTED_NODE]: "a" } } }),
  );

/** Pods that work on a node's disk succeed. */
const runHelpers: NonNullable<Scenario["others"]> = ({ objects }, { after }) => {
  for (const [key, object] of objects) {
    const { metadata, status } = object as Pod;
    if (!key.startsWith("/registry/core/pods/") || status?.phase !== "Pending") continue;
    const { namespace = "", name = "", uid = "" } = metadata;
    const succeeded = merge({ metadata: { uid }, status: { phase: "Succeeded" } });
    after(300, (client) => client.patch(resources.pods, namespace, name, succeeded, { subresource: "status" }));
  }
};

export const volumes: readonly Scenario[] = [
  {
    name: "persistentvolume-binder",
    subject: controllerManager("persistentvolume-binder"),
    end: withoutRevisions,
    steps: [
      { afterMs: 0, does: "claims before there is a volume", run: claim("first", "2Gi", "a") },
      { afterMs: 500, does: "makes a volume that is too small", run: volume("small", "1Gi", "a") },
      { afterMs: 500, does: "makes one that will do", run: volume("large", "5Gi", "a") },
      { afterMs: 1_000, does: "claims of a class that nobody has", run: claim("second", "1Gi", "b") },
      { afterMs: 500, does: "claims more than there is", run: claim("third", "9Gi", "a") },
      { afterMs: 500, does: "makes a volume for a claim that comes later", run: volume("kept", "1Gi", "c", "later") },
      { afterMs: 1_000, does: "makes that claim", run: claim("later", "1Gi", "c") },
    ],
  },
  {
    name: "pvc-protection",
    subject: controllerManager("pvc-protection"),
    steps: [
      { afterMs: 0, does: "makes the account that pods run as", run: account },
      { afterMs: 100, does: "claims", run: claim("used", "1Gi") },
      { afterMs: 100, does: "claims what nobody uses", run: claim("unused", "1Gi") },
      { afterMs: 100, does: "uses the first", run: user },
      { afterMs: 500, does: "deletes the first", run: deleteClaim("used") },
      { afterMs: 500, does: "deletes the second", run: deleteClaim("unused") },
      {
        afterMs: 500,
        does: "ends the use",
        run: (client) => client.delete(resources.pods, NAMESPACE, "user", { gracePeriodSeconds: 0 }),
      },
    ],
  },
  {
    name: "pv-protection",
    subject: controllerManager("pv-protection"),
    steps: [
      { afterMs: 0, does: "makes a volume", run: volume("bound", "1Gi") },
      { afterMs: 100, does: "makes another", run: volume("free", "1Gi") },
      { afterMs: 100, does: "the first is bound", run: phase("bound", "Bound") },
      ...["bound", "free"].map((name) => ({
        afterMs: 500,
        does: `deletes ${name}`,
        run: (client: ApiClient) => client.delete(resources.persistentVolumes, "", name),
      })),
      { afterMs: 500, does: "the first is released", run: phase("bound", "Released") },
    ],
  },
  {
    name: "local-volume-provisioner",
    subject: controllerManager(
      "local-volume-provisioner",
      "persistentvolume-binder",
      "pvc-protection",
      "pv-protection",
    ),
    others: runHelpers,
    end: (objects) => withoutRevisions(namedByClaim(objects)),
    steps: [
      {
        afterMs: 0,
        does: "makes a node and the account that helpers run as",
        run: async (client) => {
          await client.create<Node>(resources.nodes, {
            metadata: { name: "a", labels: { "kubernetes.io/hostname": "a" } },
            spec: {},
          });
          const metadata = { name: "default", namespace: "kube-system" };
          await client.create(resources.serviceAccounts, { metadata });
        },
      },
      { afterMs: 100, does: "makes the class", run: localClass },
      { afterMs: 100, does: "claims for good", run: claim("kept", "1Gi", "standard") },
      { afterMs: 100, does: "claims for a while", run: claim("dropped", "1Gi", "standard") },
      { afterMs: 500, does: "a node is chosen for the first", run: chooseNode("kept") },
      { afterMs: 500, does: "and for the second", run: chooseNode("dropped") },
      { afterMs: 2_000, does: "deletes the second", run: deleteClaim("dropped") },
    ],
  },
];

/** A volume's name has its claim's uid, which is another in each run. */
function namedByClaim(objects: readonly KubernetesObject[]): readonly KubernetesObject[] {
  let text = JSON.stringify(objects);
  for (const { kind, metadata } of objects) {
    if (kind === "PersistentVolumeClaim")
      text = text.replaceAll(`pvc-${metadata.uid ?? ""}`, `of-${metadata.name ?? ""}`);
  }
  return JSON.parse(text) as readonly KubernetesObject[];
}

/** A volume says at which revision it took its claim. */
function withoutRevisions(objects: readonly KubernetesObject[]): readonly KubernetesObject[] {
  return objects.map((object) => {
    const { claimRef } = (object as PersistentVolume).spec ?? {};
    if (object.kind !== "PersistentVolume" || !claimRef) return object;
    const { resourceVersion: _at, ...named } = claimRef;
    return { ...object, spec: { ...(object as PersistentVolume).spec, claimRef: named } };
  });
}
