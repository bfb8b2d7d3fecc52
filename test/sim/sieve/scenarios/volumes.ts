/** Claims and volumes that come, find each other, and go. */
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient, type KubernetesObject } from "@pilothouse/client";
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
];

/** A volume says at which revision it took its claim. */
function withoutRevisions(objects: readonly KubernetesObject[]): readonly KubernetesObject[] {
  return objects.map((object) => {
    const { claimRef } = (object as PersistentVolume).spec ?? {};
    if (object.kind !== "PersistentVolume" || !claimRef) return object;
    const { resourceVersion: _at, ...named } = claimRef;
    return { ...object, spec: { ...(object as PersistentVolume).spec, claimRef: named } };
  });
}
