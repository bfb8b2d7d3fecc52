import type { DaemonSet, DaemonSetSpec } from "@pilothouse/api/types/apps-v1";
import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import { describe, expect, test } from "vitest";
import { controllerRevision } from "./controller-revision.ts";
import { daemonSet, TEMPLATE_GENERATION } from "./daemon-set.ts";

const NOW_MS = Date.parse("2026-01-01T01:00:00Z");

function spec(more: Partial<DaemonSetSpec> = {}): DaemonSetSpec {
  const containers = [{ name: "log", image: "log:1" }];
  return {
    selector: { matchLabels: { app: "log" } },
    template: { metadata: { labels: { app: "log" } }, spec: { containers, nodeSelector: { disk: "ssd" } } },
    ...more,
  };
}

function created(more: Partial<DaemonSetSpec> = {}): DaemonSet {
  const object: DaemonSet = {
    metadata: { name: "log", namespace: "default", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: spec(more),
  };
  daemonSet.defaults?.(object);
  daemonSet.prepareForCreate?.(object);
  return object;
}

test("a DaemonSet gets its defaults", () => {
  const object = created();
  expect(object.spec).toMatchObject({
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
    revisionHistoryLimit: 10,
    template: { spec: { restartPolicy: "Always", dnsPolicy: "ClusterFirst" } },
  });
  expect(object.metadata).toMatchObject({ generation: 1, annotations: { [TEMPLATE_GENERATION]: "1" } });
  expect(daemonSet.validate?.(object)).toEqual([]);
  expect(created({ updateStrategy: { type: "OnDelete" } }).spec.updateStrategy).toEqual({ type: "OnDelete" });
});

describe("what is wrong with a DaemonSet is said as upstream says it", () => {
  const ROLLING = "spec.updateStrategy.rollingUpdate";
  const rolling = (maxUnavailable: number | string, maxSurge: number | string): Partial<DaemonSetSpec> => ({
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable, maxSurge } },
  });
  test.each<[string, Partial<DaemonSetSpec>, string[]]>([
    [
      "a selector that finds everything",
      { selector: {} },
      ["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
    ],
    [
      "a selector that does not find its own pods",
      { selector: { matchLabels: { app: "other" } } },
      ['spec.template.metadata.labels: Invalid value: {"app":"log"}: `selector` does not match template `labels`'],
    ],
    [
      "both ways at once",
      rolling(1, 1),
      [`${ROLLING}.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero`],
    ],
    ["no way", rolling(0, "0%"), [`${ROLLING}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0`]],
    [
      "more than all",
      rolling(0, "150%"),
      [`${ROLLING}.maxSurge: Invalid value: "150%": must not be greater than 100%`],
    ],
    [
      "an unknown strategy",
      { updateStrategy: { type: "Hope" } },
      ['spec.updateStrategy: Unsupported value: {"type":"Hope"}: supported values: "RollingUpdate", "OnDelete"'],
    ],
    [
      "less than no time and no history",
      { minReadySeconds: -1, revisionHistoryLimit: -1 },
      ["minReadySeconds", "revisionHistoryLimit"].map(
        (field) => `spec.${field}: Invalid value: -1: must be greater than or equal to 0`,
      ),
    ],
    [
      "pods that end",
      { template: { ...spec().template, spec: { containers: [{ name: "a", image: "b" }], activeDeadlineSeconds: 5 } } },
      ["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported"],
    ],
  ])("%s", (_name, more, errors) => {
    expect(texts(daemonSet.validate?.(created(more)) ?? [])).toEqual(errors);
  });

  test("another selector", () => {
    const other = created({ selector: { matchLabels: { app: "log", a: "b" } } });
    expect(texts(daemonSet.validateUpdate?.(other, created()) ?? [])).toEqual([
      'spec.selector: Invalid value: {"matchLabels":{"app":"log","a":"b"}}: field is immutable',
    ]);
  });

  test("a status that counts below nothing, or forgets collisions", () => {
    const status = { ...created().status, numberReady: -1 } as DaemonSet["status"] & object;
    const old = { ...created(), status: { ...status, collisionCount: 1 } };
    expect(texts(daemonSet.validateStatusUpdate?.({ ...created(), status }, old) ?? [])).toEqual([
      "status.numberReady: Invalid value: -1: must be greater than or equal to 0",
      "status.collisionCount: Invalid value: 0: cannot be decremented",
    ]);
  });
});

test.each<[string, (object: DaemonSet) => void, number, string]>([
  ["another image is a generation of both", ({ spec }) => (spec.template.spec!.containers[0]!.image = "log:2"), 2, "2"],
  ["another strategy is one of the object only", ({ spec }) => (spec.minReadySeconds = 5), 2, "1"],
  ["what a user writes there counts for nothing", ({ metadata }) => (metadata.annotations = {}), 1, "1"],
])("generations: %s", (_name, change, generation, ofTemplate) => {
  const now = created();
  change(now);
  daemonSet.prepareForUpdate?.(now, created());
  expect([now.metadata.generation, now.metadata.annotations?.[TEMPLATE_GENERATION]]).toEqual([generation, ofTemplate]);
});

test("kubectl get daemonsets -o wide", () => {
  const status = {
    desiredNumberScheduled: 5,
    currentNumberScheduled: 4,
    numberReady: 3,
    updatedNumberScheduled: 2,
    numberAvailable: 1,
    numberMisscheduled: 0,
  };
  expect(daemonSet.columns?.map(({ name, cell }) => [name, cell({ ...created(), status }, NOW_MS)])).toEqual([
    ["Desired", 5],
    ["Current", 4],
    ["Ready", 3],
    ["Up-to-date", 2],
    ["Available", 1],
    ["Node Selector", "disk=ssd"],
    ["Age", "60m"],
    ["Containers", "log"],
    ["Images", "log:1"],
    ["Selector", "app=log"],
  ]);
});

test("a ControllerRevision has data for life, and says whose it is", () => {
  const revision = {
    metadata: {
      name: "log-1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      ownerReferences: [{ apiVersion: "apps/v1", kind: "DaemonSet", name: "log", uid: "u", controller: true }],
    },
    data: { a: 1 },
    revision: 3,
  };
  expect(controllerRevision.validate?.(revision)).toEqual([]);
  expect(texts(controllerRevision.validate?.({ metadata: {}, revision: -1 }) ?? [])).toEqual([
    "data: Required value: data is mandatory",
    "revision: Invalid value: -1: must be greater than or equal to 0",
  ]);
  expect(texts(controllerRevision.validateUpdate?.({ ...revision, data: { a: 2 } }, revision) ?? [])).toEqual([
    'data: Invalid value: {"a":2}: field is immutable',
  ]);
  expect(controllerRevision.validateUpdate?.({ ...revision, revision: 4 }, revision)).toEqual([]);
  expect(controllerRevision.columns?.map(({ cell }) => cell(revision, NOW_MS))).toEqual([
    "daemonset.apps/log",
    3,
    "60m",
  ]);
  expect(controllerRevision.columns?.[0]?.cell({ metadata: {}, revision: 1 }, NOW_MS)).toBe("<none>");
});

function texts(errors: readonly FieldError[]): string[] {
  return errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}
