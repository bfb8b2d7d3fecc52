import type { PodTemplate, ReplicationController, ReplicationControllerSpec } from "@pilothouse/api/types/core-v1";
import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import { describe, expect, test } from "vitest";
import { podTemplate } from "./pod-templates.ts";
import { replicationController } from "./replication-controller.ts";

const NOW_MS = Date.parse("2026-01-01T01:00:00Z");
const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image: "web:1" }] } };

function created(spec: ReplicationControllerSpec, name = "web"): ReplicationController {
  const metadata = { name, namespace: "default", creationTimestamp: "2026-01-01T00:00:00Z" };
  const object: ReplicationController = structuredClone({ metadata, spec });
  replicationController.defaults?.(object);
  replicationController.prepareForCreate?.(object);
  return object;
}

test("a ReplicationController selects, and is labelled, as its template says where it says nothing", () => {
  const object = created({ template });
  expect(object).toMatchObject({
    metadata: { generation: 1, labels: { app: "web" } },
    spec: { replicas: 1, selector: { app: "web" }, template: { spec: { restartPolicy: "Always" } } },
    status: { replicas: 0 },
  });
  expect(replicationController.validate?.(object)).toEqual([]);
  expect(created({ template, selector: { app: "web", tier: "x" } }).spec.selector).toEqual({ app: "web", tier: "x" });
});

describe("what is wrong with a ReplicationController is said as upstream says it", () => {
  test.each<[string, ReplicationControllerSpec, string[]]>([
    ["no template", {}, ["spec.selector: Required value", "spec.template: Required value"]],
    [
      "a selector that does not find its own pods",
      { template, selector: { app: "other" } },
      ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
    ],
    [
      "counts below nothing",
      { template, replicas: -1, minReadySeconds: -2 },
      [
        "spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0",
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
      ],
    ],
    [
      "one disk to write for many",
      {
        template: {
          ...template,
          spec: { ...template.spec, volumes: [{ name: "d", gcePersistentDisk: { pdName: "d" } }] },
        },
        replicas: 2,
      },
      [
        "spec.template.spec.volumes[0].gcePersistentDisk.readOnly: Invalid value: false: must be true for replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only",
      ],
    ],
    [
      "pods that end",
      { template: { ...template, spec: { ...template.spec, restartPolicy: "OnFailure", activeDeadlineSeconds: 1 } } },
      [
        'spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always"',
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported",
      ],
    ],
  ])("%s", (_name, spec, errors) => {
    expect(texts(replicationController.validate?.(created(spec)) ?? [])).toEqual(errors);
  });

  test("a name that is no host's is warned of once", () => {
    const object = created({ template }, "a.b");
    expect(replicationController.warnings?.(object, undefined)).toEqual([
      "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
    ]);
    expect(replicationController.warnings?.(object, object)).toEqual([]);
  });

  test("more ready pods than pods", () => {
    const object = { ...created({ template }), status: { replicas: 1, readyReplicas: 2 } };
    expect(texts(replicationController.validateStatusUpdate?.(object, object) ?? [])).toEqual([
      "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
    ]);
  });
});

test("kubectl get replicationcontrollers -o wide", () => {
  const object = { ...created({ template, replicas: 3 }), status: { replicas: 2, readyReplicas: 1 } };
  expect(replicationController.columns?.map(({ name, cell }) => [name, cell(object, NOW_MS)])).toEqual([
    ["Desired", 3],
    ["Current", 2],
    ["Ready", 1],
    ["Age", "60m"],
    ["Containers", "web"],
    ["Images", "web:1"],
    ["Selector", "app=web"],
  ]);
});

test("a PodTemplate is a pod's spec with defaults, whose changes are counted", () => {
  const object: PodTemplate = { metadata: { name: "t" }, template: structuredClone(template) };
  podTemplate.defaults?.(object);
  podTemplate.prepareForCreate?.(object);
  expect(object).toMatchObject({ metadata: { generation: 1 }, template: { spec: { restartPolicy: "Always" } } });
  expect(podTemplate.validate?.(object)).toEqual([]);
  const other = structuredClone(object);
  podTemplate.prepareForUpdate?.(other, object);
  expect(other.metadata.generation).toBe(1);
  other.template!.spec!.containers = [];
  podTemplate.prepareForUpdate?.(other, object);
  expect(other.metadata.generation).toBe(2);
  expect(texts(podTemplate.validate?.(other) ?? [])).toEqual(["template.spec.containers: Required value"]);
  expect(podTemplate.columns?.map(({ name, cell }) => [name, cell(object, NOW_MS)])).toEqual([
    ["Containers", "web"],
    ["Images", "web:1"],
    ["Pod Labels", "app=web"],
  ]);
});

function texts(errors: readonly FieldError[]): string[] {
  return errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}
