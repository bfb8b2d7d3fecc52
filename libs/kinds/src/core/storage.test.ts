import type { PersistentVolume, PersistentVolumeClaim } from "@pilothouse/api/types/core-v1";
import type { FieldError } from "@pilothouse/errors";
import { describe, expect, test } from "vitest";
import type { Column } from "../kind.ts";
import { persistentVolume } from "./persistent-volume.ts";
import { persistentVolumeClaim } from "./persistent-volume-claim.ts";

function volume(spec: PersistentVolume["spec"] = {}): PersistentVolume {
  return {
    metadata: { name: "v" },
    spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/data" }, ...spec },
  };
}

function claim(spec: PersistentVolumeClaim["spec"] = {}, phase = "Pending"): PersistentVolumeClaim {
  return {
    metadata: { name: "c", namespace: "default" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...spec },
    status: { phase },
  };
}

function told(errors: readonly FieldError[] | undefined): readonly string[] {
  return (errors ?? []).map(({ type, field, detail }) => `${type.replace("FieldValue", "")} ${field}: ${detail}`);
}

function row<T>(columns: readonly Column<T>[] | undefined, object: T): readonly unknown[] {
  return (columns ?? []).map(({ cell }) => cell(object, Date.parse("2026-01-02T00:00:00Z")));
}

describe("volumes", () => {
  const nowhere = { hostPath: undefined } as never as PersistentVolume["spec"];
  const local = { hostPath: undefined, local: { path: "/disk" } } as never;
  const rows: readonly (readonly [what: string, spec: PersistentVolume["spec"], errors: readonly string[]])[] = [
    ["as it should be", {}, []],
    ["no way to reach it", { accessModes: [] }, ["Required spec.accessModes: "]],
    [
      "an unknown way",
      { accessModes: ["Often"] },
      [
        'NotSupported spec.accessModes: supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
      ],
    ],
    [
      "one pod alone, and others",
      { accessModes: ["ReadWriteOncePod", "ReadWriteOnce"] },
      ["Forbidden spec.accessModes: may not use ReadWriteOncePod with other access modes"],
    ],
    [
      "no size",
      { capacity: {} },
      ["Required spec.capacity: ", 'NotSupported spec.capacity: supported values: "storage"'],
    ],
    ["a driver in capitals", { ...nowhere, csi: { driver: "EBS.csi.aws.com", volumeHandle: "vol-1" } }, []],
    [
      "a driver without a volume, and a secret nowhere",
      { ...nowhere, csi: { driver: "a", volumeHandle: "", nodePublishSecretRef: { name: "s" } } },
      ["Required spec.csi.volumeHandle: ", "Required spec.csi.nodePublishSecretRef.namespace: "],
    ],
    [
      "a share from below",
      { ...nowhere, nfs: { server: "s", path: "data" } },
      ["Invalid spec.nfs.path: must be an absolute path"],
    ],
    [
      "a target that is no name",
      { ...nowhere, iscsi: { targetPortal: "p", iqn: "disk", lun: 256 } },
      ["Invalid spec.iscsi.iqn: must be valid format", "Invalid spec.iscsi.lun: must be between 0 and 255, inclusive"],
    ],
    [
      "tuned, but by no driver",
      { volumeAttributesClassName: "gold" },
      ["Required spec.csi: has to be specified when using volumeAttributesClassName"],
    ],
    ["nothing", { capacity: { storage: "0" } }, ["Invalid spec.capacity[storage]: must be greater than zero"]],
    ["another resource", { capacity: { cpu: "1" } }, ['NotSupported spec.capacity: supported values: "storage"']],
    ["nowhere", { hostPath: undefined } as never, ["Required spec: must specify a volume type"]],
    [
      "in two places",
      { nfs: { server: "s", path: "/" } },
      ["Forbidden spec.nfs: may not specify more than 1 volume type"],
    ],
    ["a local disk of no machine", local, ["Required spec.nodeAffinity: Local volume requires node affinity"]],
    [
      "a path that climbs",
      { hostPath: { path: "/data/../etc" } },
      ["Invalid spec.hostPath.path: must not contain '..'"],
    ],
  ];
  test.each(rows)("%s", (_what, spec, errors) => {
    expect(told(persistentVolume.validate?.(volume(spec)))).toEqual(errors);
  });

  test("where the data lies does not change; that a claim has it does", () => {
    const moved = volume({ hostPath: { path: "/other" } });
    expect(told(persistentVolume.validateUpdate?.(moved, volume()))).toEqual([
      "Forbidden spec.persistentvolumesource: spec.persistentvolumesource is immutable after creation",
    ]);
    const taken = volume({ claimRef: { namespace: "default", name: "c" } });
    expect(told(persistentVolume.validateUpdate?.(taken, volume()))).toEqual([]);
  });

  test("the secret that a larger volume needs may be told later, and labels of nodes by their lasting names", () => {
    const zone = (key: string, value = "a"): PersistentVolume["spec"] => ({
      nodeAffinity: {
        required: { nodeSelectorTerms: [{ matchExpressions: [{ key, operator: "In", values: [value] }] }] },
      },
    });
    const csi = { driver: "a.b", volumeHandle: "v" };
    const secret = { controllerExpandSecretRef: { name: "s", namespace: "n" } };
    const [before, after] = [volume({ csi }), volume({ csi: { ...csi, ...secret } })];
    expect(told(persistentVolume.validateUpdate?.(after, before))).toEqual([]);
    expect(told(persistentVolume.validateUpdate?.(before, after))).toHaveLength(1);
    const old = volume(zone("failure-domain.beta.kubernetes.io/zone"));
    expect(told(persistentVolume.validateUpdate?.(volume(zone("topology.kubernetes.io/zone")), old))).toEqual([]);
    expect(told(persistentVolume.validateUpdate?.(volume(zone("topology.kubernetes.io/zone", "b")), old))).toEqual([
      "Invalid nodeAffinity: field is immutable, except for updating from beta label to GA",
    ]);
  });

  test("a new phase says since when", () => {
    const next = { ...volume(), status: { phase: "Bound" } };
    persistentVolume.prepareForStatusUpdate?.(
      next,
      { ...volume(), status: { phase: "Available" } },
      "2026-01-01T00:00:00Z",
    );
    expect(next.status).toEqual({ phase: "Bound", lastPhaseTransitionTime: "2026-01-01T00:00:00Z" });
  });

  test("as kubectl shows it", () => {
    const shown = volume({
      claimRef: { namespace: "default", name: "c" },
      storageClassName: "fast",
      persistentVolumeReclaimPolicy: "Retain",
      accessModes: ["ReadWriteMany", "ReadWriteOnce"],
      volumeMode: "Filesystem",
    });
    shown.metadata.creationTimestamp = "2026-01-01T00:00:00Z";
    shown.status = { phase: "Bound" };
    expect(row(persistentVolume.columns, shown)).toEqual([
      "1Gi",
      "RWO,RWX",
      "Retain",
      "Bound",
      "default/c",
      "fast",
      "<unset>",
      "",
      "24h",
      "Filesystem",
    ]);
  });
});

describe("claims", () => {
  test("what they must say", () => {
    expect(told(persistentVolumeClaim.validate?.(claim()))).toEqual([]);
    expect(told(persistentVolumeClaim.validate?.(claim({ accessModes: [], resources: {} })))).toEqual([
      "Required spec.accessModes: at least 1 access mode is required",
      "Required spec.resources[storage]: ",
    ]);
  });

  test("what fills it is said in both fields; the older one forgets what it does not know", () => {
    const snapshot = { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "s" };
    const foreign = { apiGroup: "example.com", kind: "Image", name: "i" };
    const made = (spec: PersistentVolumeClaim["spec"]): PersistentVolumeClaim["spec"] => {
      const object = claim(spec);
      persistentVolumeClaim.prepareForCreate?.(object);
      return object.spec;
    };
    expect(made({ dataSource: snapshot })).toMatchObject({ dataSource: snapshot, dataSourceRef: snapshot });
    expect(made({ dataSourceRef: foreign })).toMatchObject({ dataSource: foreign, dataSourceRef: foreign });
    expect(made({ dataSource: foreign })).not.toHaveProperty("dataSource");
    expect(told(persistentVolumeClaim.validate?.(claim({ dataSource: snapshot, dataSourceRef: foreign })))).toEqual([
      "Invalid spec: must match dataSourceRef",
    ]);
  });

  const immutable =
    "Forbidden spec: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
  const grown = { resources: { requests: { storage: "2Gi" } } };
  const shrunk = { resources: { requests: { storage: "500Mi" } } };
  const given = { volumeName: "v" };
  const changes: readonly (readonly [
    what: string,
    from: PersistentVolumeClaim,
    to: PersistentVolumeClaim,
    errors: readonly string[],
  ])[] = [
    ["a volume is given", claim(), claim(given), []],
    ["and not taken away", claim(given), claim(), [immutable]],
    ["it grows once it is bound", claim(given, "Bound"), claim({ ...given, ...grown }, "Bound"), []],
    ["not before", claim(), claim(grown), [immutable]],
    [
      "it does not shrink below what it has",
      { ...claim(given, "Bound"), status: { phase: "Bound", capacity: { storage: "1Gi" } } },
      claim({ ...given, ...shrunk }, "Bound"),
      ["Forbidden spec.resources.requests.storage: field can not be less than status.capacity"],
    ],
    [
      "but takes back what it was to become, while it could not",
      { ...claim({ ...given, ...grown }, "Bound"), status: { phase: "Bound", capacity: { storage: "500Mi" } } },
      claim({ ...given, resources: { requests: { storage: "1Gi" } } }, "Bound"),
      [],
    ],
    [
      "a limit does not change, bound or not",
      claim(given, "Bound"),
      claim({ ...given, resources: { requests: { storage: "1Gi" }, limits: { storage: "2Gi" } } }, "Bound"),
      [immutable],
    ],
    [
      "it is tuned once it is bound, and not left untuned",
      claim({ ...given, volumeAttributesClassName: "gold" }, "Bound"),
      claim({ ...given, volumeAttributesClassName: "" }, "Bound"),
      ["Forbidden spec.volumeAttributesClassName: update from non-nil value to an empty string is forbidden"],
    ],
    ["a class may be given to who had none", claim(), claim({ storageClassName: "fast" }), []],
    ["and not changed", claim({ storageClassName: "slow" }), claim({ storageClassName: "fast" }), [immutable]],
  ];
  test.each(changes)("%s", (_what, from, to, errors) => {
    expect(told(persistentVolumeClaim.validateUpdate?.(to, from))).toEqual(errors);
  });
});
