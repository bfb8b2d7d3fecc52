import type { Deployment, DeploymentSpec, ReplicaSet } from "@pilothouse/api/types/apps-v1";
import { fieldErrorBody, type FieldError } from "@pilothouse/errors";
import { describe, expect, test } from "vitest";
import { deployment } from "./deployment.ts";
import { replicaSet } from "./replica-set.ts";

const NOW_MS = Date.parse("2026-01-01T01:00:00Z");

function spec(more: Partial<DeploymentSpec> = {}): DeploymentSpec {
  return {
    selector: { matchLabels: { app: "web" } },
    template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image: "web:1" }] } },
    ...more,
  };
}

function created(more: Partial<DeploymentSpec> = {}): Deployment {
  const object: Deployment = {
    metadata: { name: "web", namespace: "default", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: spec(more),
  };
  deployment.defaults?.(object);
  deployment.prepareForCreate?.(object);
  return object;
}

test("a Deployment gets its defaults, and its template a pod's", () => {
  const object = created();
  expect(object.spec).toMatchObject({
    replicas: 1,
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
    template: { spec: { restartPolicy: "Always", dnsPolicy: "ClusterFirst", terminationGracePeriodSeconds: 30 } },
  });
  expect(object.spec.template.spec).not.toHaveProperty("enableServiceLinks");
  expect(object.metadata.generation).toBe(1);
  expect(object.status).toEqual({});
  expect(deployment.validate?.(object)).toEqual([]);
});

describe("what is wrong with a Deployment is said as upstream says it", () => {
  test.each<[string, Partial<DeploymentSpec>, string[]]>([
    [
      "a selector that does not find its own pods",
      { selector: { matchLabels: { app: "other" } } },
      ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
    ],
    [
      "a selector that finds everything",
      { selector: {} },
      ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    ],
    ["fewer than no pods", { replicas: -1 }, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]],
    [
      "no room to roll",
      { strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } },
      ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
    ],
    [
      "more than all",
      { strategy: { rollingUpdate: { maxUnavailable: "150%" } } },
      ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "150%": must not be greater than 100%'],
    ],
    [
      "rolling while recreating",
      { strategy: { type: "Recreate", rollingUpdate: {} } },
      ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    ],
    [
      "an unknown strategy",
      { strategy: { type: "Hope" } },
      ['spec.strategy.type: Unsupported value: "Hope": supported values: "Recreate", "RollingUpdate"'],
    ],
    [
      "a deadline before readiness",
      { minReadySeconds: 600 },
      ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
    ],
    [
      "pods that end",
      {
        template: {
          ...spec().template,
          spec: { containers: [{ name: "web", image: "web:1" }], restartPolicy: "Never" },
        },
      },
      ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ],
    [
      "a template without image",
      { template: { ...spec().template, spec: { containers: [{ name: "web" }] } } },
      ["spec.template.spec.containers[0].image: Required value"],
    ],
  ])("%s", (_name, more, errors) => {
    expect(texts(deployment.validate?.(created(more)) ?? [])).toEqual(errors);
  });

  test("no selector", () => {
    const object = created();
    delete object.spec.selector;
    expect(texts(deployment.validate?.(object) ?? [])).toEqual([
      "spec.selector: Required value",
      'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ]);
  });

  test("another selector", () => {
    const now = created({ selector: { matchLabels: { app: "other" } } });
    expect(texts(deployment.validateUpdate?.(now, created()) ?? [])).toEqual([
      'spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable',
    ]);
  });

  test("more ready pods than pods", () => {
    const now = { ...created(), status: { replicas: 1, readyReplicas: 2 } };
    expect(texts(deployment.validateStatusUpdate?.(now, created()) ?? [])).toEqual([
      "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
    ]);
  });
});

describe("generation", () => {
  test.each<[string, (object: Deployment) => void, number]>([
    ["scaling is a new one", ({ spec }) => (spec.replicas = 2), 2],
    ["an annotation is a new one", ({ metadata }) => (metadata.annotations = { a: "b" }), 2],
    ["a label is none", ({ metadata }) => (metadata.labels = { a: "b" }), 1],
    ["a status is none, and does not get through", (object) => (object.status = { replicas: 5 }), 1],
  ])("%s", (_name, change, generation) => {
    const old = created();
    const now = created();
    change(now);
    deployment.prepareForUpdate?.(now, old);
    expect(now.metadata.generation).toBe(generation);
    expect(now.status).toEqual({});
  });
});

test("kubectl get deployments -o wide", () => {
  const object = {
    ...created({ replicas: 3 }),
    status: { replicas: 3, readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1 },
  };
  expect(deployment.columns?.map(({ name, cell }) => [name, cell(object, NOW_MS)])).toEqual([
    ["Ready", "2/3"],
    ["Up-to-date", 3],
    ["Available", 1],
    ["Age", "60m"],
    ["Containers", "web"],
    ["Images", "web:1"],
    ["Selector", "app=web"],
  ]);
});

test("kubectl get replicasets -o wide", () => {
  const object: ReplicaSet = {
    metadata: created().metadata,
    spec: { ...spec(), replicas: 3 },
    status: { replicas: 3, readyReplicas: 2 },
  };
  expect(replicaSet.columns?.map(({ name, cell }) => [name, cell(object, NOW_MS)])).toEqual([
    ["Desired", 3],
    ["Current", 3],
    ["Ready", 2],
    ["Age", "60m"],
    ["Containers", "web"],
    ["Images", "web:1"],
    ["Selector", "app=web"],
  ]);
});

function texts(errors: readonly FieldError[]): string[] {
  return errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}
