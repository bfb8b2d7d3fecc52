import type { StatefulSet, StatefulSetSpec } from "@pilothouse/api/types/apps-v1";
import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import { describe, expect, test } from "vitest";
import { statefulSet } from "./stateful-set.ts";

const NOW_MS = Date.parse("2026-01-01T01:00:00Z");
const REFUSED =
  "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', " +
  "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

function spec(more: Partial<StatefulSetSpec> = {}): StatefulSetSpec {
  return {
    serviceName: "db",
    selector: { matchLabels: { app: "db" } },
    template: { metadata: { labels: { app: "db" } }, spec: { containers: [{ name: "db", image: "db:1" }] } },
    ...more,
  };
}

function created(more: Partial<StatefulSetSpec> = {}): StatefulSet {
  const object: StatefulSet = {
    metadata: { name: "db", namespace: "default", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: spec(more),
  };
  statefulSet.defaults?.(object);
  statefulSet.prepareForCreate?.(object);
  return object;
}

test("a StatefulSet gets its defaults, its template a pod's, and its claims a claim's", () => {
  const mounts = [{ name: "data", mountPath: "/data" }];
  const template = {
    metadata: { labels: { app: "db" } },
    spec: { containers: [{ name: "db", image: "db:1", volumeMounts: mounts }] },
  };
  const object = created({ template, volumeClaimTemplates: [{ metadata: { name: "data" }, spec: {} }] });
  expect(object.spec).toMatchObject({
    replicas: 1,
    podManagementPolicy: "OrderedReady",
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0, maxUnavailable: 1 } },
    persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
    revisionHistoryLimit: 10,
    template: { spec: { restartPolicy: "Always" } },
    volumeClaimTemplates: [
      {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        spec: { volumeMode: "Filesystem" },
        status: { phase: "Pending" },
      },
    ],
  });
  expect(object.metadata.generation).toBe(1);
  expect(object.status).toEqual({ replicas: 0, availableReplicas: 0 });
  // A claim is a volume that may be mounted.
  expect(statefulSet.validate?.(object)).toEqual([]);
});

test("a strategy that says its type only is not given a partition", () => {
  expect(created({ updateStrategy: { type: "RollingUpdate" } }).spec.updateStrategy).toEqual({ type: "RollingUpdate" });
  expect(created({ updateStrategy: { type: "OnDelete" } }).spec.updateStrategy).toEqual({ type: "OnDelete" });
});

test("its pods' hostnames begin with its name, so that is a label", () => {
  expect(statefulSet.validateName?.("a.b", false)).toEqual(["must not contain dots"]);
});

describe("what is wrong with a StatefulSet is said as upstream says it", () => {
  const ROLLING = "spec.updateStrategy.rollingUpdate";
  test.each<[string, Partial<StatefulSetSpec>, string[]]>([
    [
      "an unknown policy of management",
      { podManagementPolicy: "Hope" },
      ["spec.podManagementPolicy: Invalid value: \"Hope\": must be 'OrderedReady' or 'Parallel'"],
    ],
    [
      "an unknown strategy",
      { updateStrategy: { type: "Recreate" } },
      ["spec.updateStrategy: Invalid value: {\"type\":\"Recreate\"}: must be 'RollingUpdate' or 'OnDelete'"],
    ],
    [
      "rolling on delete",
      { updateStrategy: { type: "OnDelete", rollingUpdate: {} } },
      [`${ROLLING}: Invalid value: {}: only allowed for updateStrategy 'RollingUpdate'`],
    ],
    [
      "a negative partition",
      { updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: -1 } } },
      [`${ROLLING}.partition: Invalid value: -1: must be greater than or equal to 0`],
    ],
    [
      "nothing may be missing",
      { updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0 } } },
      [`${ROLLING}.maxUnavailable: Invalid value: 0: cannot be 0`],
    ],
    [
      "more than all may be missing",
      { updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "120%" } } },
      [`${ROLLING}.maxUnavailable: Invalid value: "120%": must not be greater than 100%`],
    ],
    [
      "an unknown retention",
      { persistentVolumeClaimRetentionPolicy: { whenScaled: "Keep" } },
      [
        'spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Keep": supported values: "Retain", "Delete"',
      ],
    ],
    [
      "counts below nothing",
      { replicas: -1, minReadySeconds: -1, ordinals: { start: -1 } },
      ["replicas", "minReadySeconds", "ordinals.start"].map(
        (field) => `spec.${field}: Invalid value: -1: must be greater than or equal to 0`,
      ),
    ],
    [
      "a selector that finds everything",
      { selector: {} },
      ["spec.selector: Invalid value: {}: empty selector is invalid for statefulset"],
    ],
    [
      "a selector that does not find its own pods",
      { selector: { matchLabels: { app: "other" } } },
      ['spec.template.metadata.labels: Invalid value: {"app":"db"}: `selector` does not match template `labels`'],
    ],
    [
      "pods that end",
      {
        template: {
          ...spec().template,
          spec: { ...spec().template.spec, containers: spec().template.spec?.containers ?? [], restartPolicy: "Never" },
        },
      },
      ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ],
  ])("%s", (_name, more, errors) => {
    expect(texts(statefulSet.validate?.(created(more)) ?? [])).toEqual(errors);
  });

  test.each<[string, Partial<StatefulSetSpec>, string[]]>([
    ["another service", { serviceName: "other" }, [REFUSED]],
    ["other claims", { volumeClaimTemplates: [{ metadata: { name: "data" }, spec: {} }] }, [REFUSED]],
    ["another management", { podManagementPolicy: "Parallel" }, [REFUSED]],
    ["another size, start and history", { replicas: 5, ordinals: { start: 3 }, revisionHistoryLimit: 1 }, []],
    ["another strategy", { updateStrategy: { type: "OnDelete" }, minReadySeconds: 3 }, []],
    ["claims that go", { persistentVolumeClaimRetentionPolicy: { whenDeleted: "Delete" } }, []],
  ])("an update to %s", (_name, more, errors) => {
    expect(texts(statefulSet.validateUpdate?.(created(more), created()) ?? [])).toEqual(errors);
  });

  test("a status that counts wrong", () => {
    const old = { ...created(), status: { replicas: 0, availableReplicas: 0, collisionCount: 2 } };
    const status = { replicas: 1, readyReplicas: 1, availableReplicas: 2, collisionCount: 1 };
    expect(texts(statefulSet.validateStatusUpdate?.({ ...created(), status }, old) ?? [])).toEqual([
      "status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas",
      "status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas",
      "status.collisionCount: Invalid value: 1: cannot be decremented",
    ]);
  });

  test("a history without end is allowed, with a warning", () => {
    expect(statefulSet.warnings?.(created({ revisionHistoryLimit: -1 }), undefined)).toEqual([
      "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended",
    ]);
  });
});

test("an update of the spec keeps the status and counts; one of the status keeps the spec", () => {
  const old = { ...created(), status: { replicas: 1, availableReplicas: 1 } };
  const now = { ...created({ replicas: 2 }), status: { replicas: 9, availableReplicas: 9 } };
  statefulSet.prepareForUpdate?.(now, old);
  expect([now.metadata.generation, now.status]).toEqual([2, old.status]);
  const told = { ...created({ replicas: 7 }), status: { replicas: 2, availableReplicas: 0 } };
  statefulSet.prepareForStatusUpdate?.(told, old, "");
  expect([told.spec.replicas, told.status.replicas]).toEqual([1, 2]);
});

test("kubectl get statefulsets -o wide", () => {
  const object = { ...created({ replicas: 3 }), status: { replicas: 3, readyReplicas: 2, availableReplicas: 2 } };
  expect(statefulSet.columns?.map(({ name, cell, priority }) => [name, cell(object, NOW_MS), priority])).toEqual([
    ["Ready", "2/3", 0],
    ["Age", "60m", 0],
    ["Containers", "db", 1],
    ["Images", "db:1", 1],
  ]);
});

function texts(errors: readonly FieldError[]): string[] {
  return errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}
