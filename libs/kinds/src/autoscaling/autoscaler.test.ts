import { fieldErrorBody } from "@pilothouse/errors";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { kindByName, views, type ApiObject, type KindDefinition } from "../index.ts";

const v2 = kindByName("autoscaling", "v2", "HorizontalPodAutoscaler") as KindDefinition;
const view = views.find(({ group }) => group === "autoscaling")?.view as NonNullable<KindDefinition["view"]>;

const scaleTargetRef = { kind: "Deployment", name: "web", apiVersion: "apps/v1" };
const autoscaler = (spec: object, status?: object): ApiObject => ({
  apiVersion: "autoscaling/v2",
  kind: "HorizontalPodAutoscaler",
  metadata: { name: "web", namespace: "default" },
  spec: { scaleTargetRef, maxReplicas: 5, ...spec },
  ...(status ? { status } : {}),
});
const cpu = (averageUtilization: number) => ({
  type: "Resource",
  resource: { name: "cpu", target: { type: "Utilization", averageUtilization } },
});
const memory = {
  type: "Resource",
  resource: { name: "memory", target: { type: "AverageValue", averageValue: "1Gi" } },
};

function errorsOf(object: ApiObject): string[] {
  return (v2.validate?.(object) ?? []).map((error) => `${error.field}: ${fieldErrorBody(error)}`);
}

describe("an autoscaler", () => {
  it("without metrics looks at CPU, and completes the policies it begins", () => {
    const object = autoscaler({ behavior: { scaleDown: { stabilizationWindowSeconds: 60 } } });
    v2.defaults?.(object);
    expect(object["spec"]).toMatchObject({
      minReplicas: 1,
      metrics: [cpu(80)],
      behavior: {
        scaleUp: { stabilizationWindowSeconds: 0, selectPolicy: "Max", policies: [{ value: 4 }, { value: 100 }] },
        scaleDown: { stabilizationWindowSeconds: 60, policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] },
      },
    });
    expect(errorsOf(object)).toEqual([]);
  });

  it.each<[object, string[]]>([
    [{ minReplicas: 0 }, ["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"]],
    [
      { minReplicas: 3, maxReplicas: 2 },
      ["spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"],
    ],
    [
      { scaleTargetRef: { kind: "", name: "a/b" } },
      [
        "spec.scaleTargetRef.kind: Required value",
        "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
      ],
    ],
    [
      { metrics: [{ type: "Pods" }] },
      ["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
    ],
    [
      { metrics: [{ ...cpu(0) }] },
      ["spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"],
    ],
    [
      { behavior: { scaleUp: { policies: [], stabilizationWindowSeconds: 3601 } } },
      [
        "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
        "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy",
      ],
    ],
  ])("%j is refused in upstream's words", (spec, errors) => {
    expect(errorsOf(autoscaler(spec))).toEqual(errors);
  });

  it("is shown with its targets", () => {
    const status = {
      currentMetrics: [{ type: "Resource", resource: { name: "cpu", current: { averageUtilization: 12 } } }],
    };
    const cells = (spec: object) => v2.columns?.map(({ cell }) => cell(autoscaler(spec, status), 0)).slice(0, 5);
    expect(cells({ metrics: [cpu(50), memory] })).toEqual([
      "Deployment/web",
      "cpu: 12%/50%, memory: <unknown>/1Gi",
      "<unset>",
      5,
      0,
    ]);
    expect(cells({ metrics: [cpu(50), memory, memory, memory] })?.[1]).toContain(" + 2 more...");
  });
});

describe("autoscaling/v1", () => {
  it("has the CPU share as a field, and everything else in annotations", () => {
    const status = {
      currentReplicas: 2,
      desiredReplicas: 3,
      currentMetrics: [
        { type: "Resource", resource: { name: "cpu", current: { averageUtilization: 12, averageValue: "10m" } } },
      ],
      conditions: [{ type: "AbleToScale", status: "True" }],
    };
    const shown = view.fromStored(autoscaler({ metrics: [memory, cpu(50)], behavior: { scaleUp: {} } }, status));
    expect(shown).toEqual({
      apiVersion: "autoscaling/v1",
      kind: "HorizontalPodAutoscaler",
      metadata: {
        name: "web",
        namespace: "default",
        annotations: {
          "autoscaling.alpha.kubernetes.io/metrics":
            '[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}}]',
          "autoscaling.alpha.kubernetes.io/behavior": '{"scaleUp":{}}',
          "autoscaling.alpha.kubernetes.io/current-metrics":
            '[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":12,"currentAverageValue":"10m"}}]',
          "autoscaling.alpha.kubernetes.io/conditions": '[{"type":"AbleToScale","status":"True"}]',
        },
      },
      spec: { scaleTargetRef, maxReplicas: 5, targetCPUUtilizationPercentage: 50 },
      status: { currentReplicas: 2, desiredReplicas: 3, currentCPUUtilizationPercentage: 12 },
    });
  });

  const metric = { name: "m", selector: { matchLabels: { a: "b" } } };
  const target = fc.constantFrom({ type: "Value", value: "3" }, { type: "AverageValue", averageValue: "5" });
  const anyMetric = fc.oneof(
    fc.constant(memory),
    target.map((one) => ({ type: "External", external: { metric, target: one } })),
    target.map((one) => ({ type: "Object", object: { describedObject: scaleTargetRef, metric, target: one } })),
    fc.constant({ type: "Pods", pods: { metric, target: { type: "AverageValue", averageValue: "5" } } }),
    fc.constant({
      type: "ContainerResource",
      containerResource: { name: "cpu", container: "c", target: { type: "Utilization", averageUtilization: 7 } },
    }),
  );

  it("loses nothing of what v2 says, on the way there and back", () => {
    fc.assert(
      fc.property(
        fc.array(anyMetric, { maxLength: 4 }),
        fc.option(fc.integer({ min: 1, max: 200 })),
        (others, percent) => {
          const metrics = [...others, ...(percent === null ? [] : [cpu(percent)])];
          const before = autoscaler({
            ...(metrics.length > 0 ? { metrics } : {}),
            behavior: { scaleDown: { selectPolicy: "Min", policies: [{ type: "Pods", value: 1, periodSeconds: 9 }] } },
          });
          expect(view.toStored(view.fromStored(before))).toEqual(before);
        },
      ),
    );
  });

  it("takes an annotation that says something else for none", () => {
    const annotations = {
      "autoscaling.alpha.kubernetes.io/metrics": '[{"type":5,"resource":{"name":["x"]}}]',
      "autoscaling.alpha.kubernetes.io/behavior": "{",
      mine: "stays",
    };
    const given = {
      metadata: { annotations },
      spec: { scaleTargetRef, maxReplicas: 1, targetCPUUtilizationPercentage: 9 },
    };
    expect(view.toStored(given)).toEqual({
      apiVersion: "autoscaling/v2",
      metadata: { annotations: { mine: "stays" } },
      spec: { scaleTargetRef, maxReplicas: 1, metrics: [cpu(9)] },
    });
  });
});
