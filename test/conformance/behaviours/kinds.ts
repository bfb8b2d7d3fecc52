/** "API operations" and lifecycles of kinds that are data, or whose data is looked at here alone. */
import assert from "node:assert/strict";
import { exercise, type Exercise } from "./exercise.ts";
import type { Behaviours } from "../behaviour.ts";
import type { Trial } from "../trial.ts";

const runs = (what: Exercise) => (t: Trial) => exercise(t, what);
const cluster = { namespaced: false } as const;
const pod = { metadata: { labels: { app: "x" } }, spec: { containers: [{ name: "c", image: "image" }] } };

export const kinds: Behaviours = {
  "[sig-node] Lease lease API should be available [Conformance]": runs({
    groupVersion: "coordination.k8s.io/v1",
    plural: "leases",
    make: () => ({ spec: { holderIdentity: "holder", leaseDurationSeconds: 30, leaseTransitions: 0 } }),
    change: (lease) => (lease["spec"].holderIdentity = "another"),
  }),
  "[sig-node] RuntimeClass should support RuntimeClasses API operations [Conformance]": runs({
    ...cluster,
    groupVersion: "node.k8s.io/v1",
    plural: "runtimeclasses",
    make: () => ({ handler: "some-handler" }),
  }),
  "[sig-node] PodTemplates should run the lifecycle of PodTemplates [Conformance]": runs({
    groupVersion: "v1",
    plural: "podtemplates",
    make: () => ({ template: pod }),
  }),
  "[sig-node] PodTemplates should delete a collection of pod templates [Conformance]": runs({
    groupVersion: "v1",
    plural: "podtemplates",
    make: () => ({ template: pod }),
  }),
  "[sig-node] PodTemplates should replace a pod template [Conformance]": runs({
    groupVersion: "v1",
    plural: "podtemplates",
    make: () => ({ template: pod }),
    change: (template) => (template["template"].spec.containers[0].image = "another"),
  }),
  "[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]": runs({
    groupVersion: "discovery.k8s.io/v1",
    plural: "endpointslices",
    make: () => ({
      addressType: "IPv4",
      endpoints: [{ addresses: ["198.51.100.7"] }],
      ports: [{ name: "p", port: 80 }],
    }),
  }),
  "[sig-network] Ingress API should support creating Ingress API operations [Conformance]": runs({
    groupVersion: "networking.k8s.io/v1",
    plural: "ingresses",
    make: () => ({ spec: { defaultBackend: { service: { name: "default-backend", port: { number: 80 } } } } }),
    status: { loadBalancer: { ingress: [{ ip: "198.51.100.1" }] } },
  }),
  "[sig-network] IngressClass API should support creating IngressClass API operations [Conformance]": runs({
    ...cluster,
    groupVersion: "networking.k8s.io/v1",
    plural: "ingressclasses",
    make: () => ({ spec: { controller: "example.com/controller" } }),
  }),
  "[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]": runs({
    groupVersion: "storage.k8s.io/v1",
    plural: "csistoragecapacities",
    make: () => ({ storageClassName: "some-class" }),
  }),
  "[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]": runs(
    {
      ...cluster,
      groupVersion: "storage.k8s.io/v1",
      plural: "storageclasses",
      make: () => ({ provisioner: "example.com/provisioner" }),
    },
  ),
  "[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a VolumeAttributesClass [Conformance]":
    runs({
      ...cluster,
      groupVersion: "storage.k8s.io/v1",
      plural: "volumeattributesclasses",
      make: () => ({ driverName: "example.com/driver", parameters: { speed: "fast" } }),
    }),
  "[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode [Conformance]": runs({
    ...cluster,
    groupVersion: "storage.k8s.io/v1",
    plural: "csinodes",
    make: () => ({ spec: { drivers: [] } }),
  }),
  "[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver [Conformance]": runs({
    ...cluster,
    groupVersion: "storage.k8s.io/v1",
    plural: "csidrivers",
    make: () => ({ spec: { volumeLifecycleModes: ["Ephemeral"] } }),
  }),
  "[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment [Conformance]":
    runs({
      ...cluster,
      groupVersion: "storage.k8s.io/v1",
      plural: "volumeattachments",
      make: volumeAttachment,
    }),
  "[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status [Conformance]": runs({
    ...cluster,
    groupVersion: "storage.k8s.io/v1",
    plural: "volumeattachments",
    make: volumeAttachment,
    status: { attached: true },
  }),
  "[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceClass [Conformance]": runs({
    ...cluster,
    groupVersion: "resource.k8s.io/v1",
    plural: "deviceclasses",
    make: () => ({ spec: {} }),
  }),
  "[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim [Conformance]": runs({
    groupVersion: "resource.k8s.io/v1",
    plural: "resourceclaims",
    make: () => ({ spec: {} }),
    status: {},
  }),
  "[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate [Conformance]": runs({
    groupVersion: "resource.k8s.io/v1",
    plural: "resourceclaimtemplates",
    make: () => ({ spec: { spec: {} } }),
  }),
  "[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice [Conformance]": runs({
    ...cluster,
    groupVersion: "resource.k8s.io/v1",
    plural: "resourceslices",
    make: () => ({
      spec: {
        driver: "example.com",
        nodeName: "some-node",
        pool: { name: "pool", generation: 1, resourceSliceCount: 1 },
        devices: [{ name: "device" }],
      },
    }),
  }),
  "[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]": async (t) => {
    const addresses = t.clusterApi("networking.k8s.io/v1", "ipaddresses");
    const labelSelector = `conformance-of=${t.namespace}`;
    t.afterwards(() => addresses.deleteCollection({ labelSelector }));
    const parentRef = { group: "", resource: "services", namespace: t.namespace, name: "nobody" };
    const make = (name: string): Promise<unknown> =>
      addresses.create({ metadata: { name, labels: { "conformance-of": t.namespace } }, spec: { parentRef } });
    await make("203.0.113.7");
    await make("203.0.113.8");
    assert.equal((await addresses.list({ labelSelector })).items.length, 2);
    const patched = await addresses.patch("203.0.113.7", { metadata: { annotations: { patched: "yes" } } });
    const updated = await addresses.update({
      ...patched,
      metadata: { ...patched.metadata, annotations: { updated: "yes" } },
    });
    assert.deepEqual(updated.metadata.annotations, { updated: "yes" });
    await addresses.delete("203.0.113.7");
    await addresses.deleteCollection({ labelSelector });
    assert.equal((await addresses.list({ labelSelector })).items.length, 0);
  },
  "[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API [Conformance]": async (t) => {
    const pods = t.api("v1", "pods");
    const csi = { driver: "e2e.example.com", volumeAttributes: { foo: "bar" } };
    const spec = { ...pod.spec, volumes: [{ name: "v", csi }], schedulerName: "nobody" };
    await pods.create({ metadata: { name: "inline", labels: { x: "y" } }, spec });
    assert.equal((await pods.get("inline"))["spec"].volumes[0].csi.driver, "e2e.example.com");
    assert.equal((await pods.list({ labelSelector: "x=y" })).items.length, 1);
    await pods.patch("inline", { metadata: { labels: { patched: "yes" } } });
    await pods.delete("inline", { gracePeriodSeconds: 0 });
    assert.equal((await pods.list()).items.length, 0);
  },
  "[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC [Conformance]":
    async (t) => {
      await exercise(t, { ...cluster, groupVersion: "v1", plural: "persistentvolumes", make: volume });
      await exercise(t, { groupVersion: "v1", plural: "persistentvolumeclaims", make: claim });
    },
  "[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status [Conformance]": async (
    t,
  ) => {
    const status = { message: "patched", reason: "E2E" };
    await exercise(t, { ...cluster, groupVersion: "v1", plural: "persistentvolumes", make: volume, status });
    const conditions = [{ type: "StatusPatched", status: "True" }];
    await exercise(t, { groupVersion: "v1", plural: "persistentvolumeclaims", make: claim, status: { conditions } });
  },
  "[sig-apps] ControllerRevision [Serial] should manage the lifecycle of a ControllerRevision [Conformance]": runs({
    groupVersion: "apps/v1",
    plural: "controllerrevisions",
    make: () => ({ revision: 1, data: { some: "state" } }),
    change: (revision) => (revision["revision"] = 2),
  }),
  "[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]": runs({
    ...cluster,
    groupVersion: "networking.k8s.io/v1",
    plural: "servicecidrs",
    make: () => ({ spec: { cidrs: ["203.0.113.0/24"] } }),
    status: {
      conditions: [
        {
          type: "StatusPatched",
          status: "True",
          reason: "E2E",
          message: "m",
          lastTransitionTime: "2026-01-01T00:00:00Z",
        },
      ],
    },
  }),
  "[sig-instrumentation] Events should manage the lifecycle of an event [Conformance]": runs({
    groupVersion: "v1",
    plural: "events",
    make: event,
    change: (changed) => (changed["message"] = "another"),
  }),
  "[sig-instrumentation] Events should delete a collection of events [Conformance]": runs({
    groupVersion: "v1",
    plural: "events",
    make: event,
  }),
  "[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed [Conformance]":
    runs({ groupVersion: "events.k8s.io/v1", plural: "events", make: newEvent }),
  "[sig-instrumentation] Events API should delete a collection of events [Conformance]": runs({
    groupVersion: "events.k8s.io/v1",
    plural: "events",
    make: newEvent,
  }),
};

function volume(namespace: string): object {
  return {
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      storageClassName: `${namespace}-class`,
      csi: { driver: "e2e.example.com", volumeHandle: "e2e" },
    },
  };
}

/** Of a class that nobody has: it stays Pending. */
function claim(namespace: string): object {
  const resources = { requests: { storage: "1Gi" } };
  return { spec: { accessModes: ["ReadWriteOnce"], resources, storageClassName: `${namespace}-other-class` } };
}

function volumeAttachment(): object {
  return {
    spec: { attacher: "driver.example.com", nodeName: "some-node", source: { persistentVolumeName: "some-volume" } },
  };
}

function event(namespace: string): object {
  const involvedObject = { kind: "Pod", apiVersion: "v1", name: "somebody", namespace };
  return { involvedObject, type: "Normal", reason: "Test", message: "a message" };
}

function newEvent(namespace: string): object {
  return {
    eventTime: new Date().toISOString().replace("Z", "000Z"),
    reportingController: "example.com/controller",
    reportingInstance: "instance",
    action: "Do",
    reason: "Test",
    type: "Normal",
    regarding: { kind: "Pod", apiVersion: "v1", name: "somebody", namespace },
    note: "a note",
  };
}
