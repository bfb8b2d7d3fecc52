import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import { describe, expect, it } from "vitest";
import { kindByName, type ApiObject, type KindDefinition } from "../index.ts";

function kind(name: string): KindDefinition {
  return kindByName("storage.k8s.io", "v1", name) as KindDefinition;
}

const texts = (errors: readonly FieldError[] | undefined): string[] =>
  (errors ?? []).map((error) => `${error.field}: ${fieldErrorBody(error)}`);

function made(name: string, fields: object, metadata: object = { name: "csi.shop.example" }): ApiObject {
  const object: ApiObject = { metadata, ...structuredClone(fields) };
  kind(name).defaults?.(object);
  return object;
}

const cells = (name: string, object: ApiObject): unknown[] =>
  (kind(name).columns ?? []).map(({ cell }) => cell(object, 0)).slice(0, -1);

describe("kinds of storage", () => {
  it("fill in what their author leaves out", () => {
    expect(made("StorageClass", { provisioner: "p" })).toMatchObject({
      reclaimPolicy: "Delete",
      volumeBindingMode: "Immediate",
    });
    expect(made("CSIDriver", {})["spec"]).toEqual({
      attachRequired: true,
      podInfoOnMount: false,
      storageCapacity: false,
      fsGroupPolicy: "ReadWriteOnceWithFSType",
      requiresRepublish: false,
      seLinuxMount: false,
      volumeLifecycleModes: ["Persistent"],
    });
  });

  it.each<[string, object, string[]]>([
    ["StorageClass", { provisioner: "shop.example/nfs", parameters: { a: "b" } }, []],
    ["StorageClass", {}, ["provisioner: Required value"]],
    [
      "StorageClass",
      { provisioner: "p", reclaimPolicy: "Recycle" },
      ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
    ],
    ["CSIDriver", { spec: { volumeLifecycleModes: ["Ephemeral", "Persistent"] } }, []],
    [
      "CSIDriver",
      { spec: { tokenRequests: [{ audience: "a", expirationSeconds: 5 }, { audience: "a" }] } },
      [
        "spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
        'spec.tokenRequests[1].audience: Duplicate value: "a"',
      ],
    ],
    ["CSINode", { spec: { drivers: [{ name: "csi.x", nodeID: "n1", topologyKeys: ["zone"] }] } }, []],
    [
      "CSINode",
      {
        spec: {
          drivers: [
            { name: "csi.x", nodeID: "", topologyKeys: ["zone", "zone"], allocatable: { count: -1 } },
            { name: "csi.x", nodeID: "n".repeat(257) },
          ],
        },
      },
      [
        "spec.drivers[0].nodeID: Required value",
        "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
        'spec.drivers[0]: Duplicate value: "zone"',
        `spec.drivers[1].nodeID: Invalid value: "${"n".repeat(257)}": must be 256 characters or less`,
        'spec.drivers[1].name: Duplicate value: "csi.x"',
      ],
    ],
    ["CSIStorageCapacity", { storageClassName: "fast", capacity: "5Gi", maximumVolumeSize: "1Gi" }, []],
    [
      "CSIStorageCapacity",
      {
        storageClassName: "fast",
        capacity: "-1",
        nodeTopology: { matchExpressions: [{ key: "zone", operator: "In" }] },
      },
      [
        "nodeTopology.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        'capacity: Invalid value: "-1": must be greater than or equal to 0',
      ],
    ],
    ["VolumeAttachment", { spec: { attacher: "csi.x", nodeName: "n", source: { persistentVolumeName: "pv" } } }, []],
    [
      "VolumeAttachment",
      { spec: { attacher: "csi.x", nodeName: "n", source: {} } },
      ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
    ],
    [
      "VolumeAttributesClass",
      { driverName: "csi.x" },
      ["parameters: Required value: must contain at least one key/value pair"],
    ],
  ])("%s %j is judged in upstream's words", (name, fields, errors) => {
    expect(texts(kind(name).validate?.(made(name, fields)))).toEqual(errors);
  });

  it("attach by drivers alone: a DNS name, as whoever creates them must give", () => {
    const spec = { attacher: "example.com/driver", nodeName: "n", source: { persistentVolumeName: "pv" } };
    const attachment = made("VolumeAttachment", { spec });
    expect(texts(kind("VolumeAttachment").validate?.(attachment))).toEqual([]);
    expect(texts(kind("VolumeAttachment").validateCreate?.(attachment))[0]).toContain("spec.attacher: Invalid value:");
    expect(
      texts(
        kind("VolumeAttributesClass").validate?.(
          made("VolumeAttributesClass", { driverName: "example.com/driver", parameters: { a: "b" } }),
        ),
      ),
    ).toEqual([]);
  });

  it("keep what volumes were made by", () => {
    const changed = (name: string, now: object, before: object) =>
      texts(kind(name).validateUpdate?.(made(name, now), made(name, before)));
    expect(changed("StorageClass", { provisioner: "a", parameters: { x: "1" } }, { provisioner: "b" })).toEqual([
      "parameters: Forbidden: updates to parameters are forbidden.",
      "provisioner: Forbidden: updates to provisioner are forbidden.",
    ]);
    expect(changed("CSIDriver", { spec: { attachRequired: false } }, {})).toEqual([
      "spec.attachedRequired: Invalid value: false: field is immutable",
    ]);
    expect(changed("VolumeAttributesClass", { driverName: "a", parameters: { x: "1" } }, { driverName: "a" })).toEqual([
      "parameters: Forbidden: updates to parameters are forbidden.",
    ]);
    const spec = { attacher: "a", nodeName: "n", source: { persistentVolumeName: "pv" } };
    expect(changed("VolumeAttachment", { spec }, { spec: { ...spec, nodeName: "m" } })).toHaveLength(1);
    const driver = { name: "csi.x", nodeID: "n1", topologyKeys: ["zone"], allocatable: { count: 3 } };
    const csiNode = (more: object) => ({ spec: { drivers: [{ ...driver, ...more }] } });
    expect(changed("CSINode", csiNode({ allocatable: { count: 4 } }), csiNode({}))).toEqual([]);
    expect(changed("CSINode", csiNode({ nodeID: "n2" }), csiNode({}))).toEqual([
      'spec.drivers: Invalid value: {"name":"csi.x","nodeID":"n2","topologyKeys":["zone"]}: field is immutable',
    ]);
    expect(changed("CSIStorageCapacity", { storageClassName: "a" }, { storageClassName: "b" })).toEqual([
      'storageClassName: Invalid value: "a": field is immutable',
    ]);
  });

  it("are shown as kubectl shows them", () => {
    const annotations = { "storageclass.kubernetes.io/is-default-class": "true" };
    expect(cells("StorageClass", made("StorageClass", { provisioner: "p" }, { name: "fast", annotations }))).toEqual([
      "fast (default)",
      "p",
      "Delete",
      "Immediate",
      false,
    ]);
    const spec = { attacher: "a", nodeName: "n", source: { persistentVolumeName: "pv" } };
    expect(cells("VolumeAttachment", { metadata: {}, spec, status: { attached: true } })).toEqual([
      "a",
      "pv",
      "n",
      true,
    ]);
    expect(cells("CSINode", made("CSINode", { spec: { drivers: [{ name: "csi.x" }] } }))).toEqual([1]);
    expect(
      kind("CSIStorageCapacity").columns?.map(({ cell }) =>
        cell(made("CSIStorageCapacity", { storageClassName: "a" }), 0),
      ),
    ).toEqual(["a", "<unset>"]);
    expect(cells("CSIDriver", made("CSIDriver", {}))).toEqual([true, false, false, "<unset>", false, "Persistent"]);
  });
});
