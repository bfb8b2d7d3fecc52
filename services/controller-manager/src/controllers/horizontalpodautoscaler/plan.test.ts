import type { HorizontalPodAutoscalerBehavior, MetricSpec } from "@pilothouse/api/types/autoscaling-v2";
import type { Pod } from "@pilothouse/api/types/core-v1";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bounded, NO_HISTORY, withScaleEvent, type History } from "./plan-behavior.ts";
import {
  averageReplicas,
  shareReplicas,
  utilizationReplicas,
  valueReplicas,
  type Counted,
  type Samples,
} from "./plan-replicas.ts";
import { plan, wantsMetrics, type AutoscalerView } from "./plan.ts";
import type { Reading } from "./plan-metrics.ts";

const NOW_MS = Date.UTC(2026, 0, 1, 12);
const TOLERANCE = { up: 0.1, down: 0.1 };

type PodState = "ready" | "pending" | "starting" | "failed" | "leaving";

function pod(name: string, state: PodState = "ready", request: string | null = "1"): Pod {
  const requests = request === null ? {} : { cpu: request };
  const startedAgoMs = state === "starting" ? 10_000 : 3_600_000;
  const phase = state === "pending" ? "Pending" : state === "failed" ? "Failed" : "Running";
  return {
    metadata: { name, labels: { app: "web" }, ...(state === "leaving" ? { deletionTimestamp: at(0) } : {}) },
    spec: { containers: [{ name: "c", resources: { requests } }] },
    status: {
      phase,
      startTime: at(startedAgoMs),
      conditions: [
        {
          type: "Ready",
          status: state === "starting" ? "False" : "True",
          lastTransitionTime: at(startedAgoMs - 5_000),
        },
      ],
    },
  };
}

const at = (agoMs: number): string => new Date(NOW_MS - agoMs).toISOString();
const samples = (values: Readonly<Record<string, number>>): Samples =>
  new Map(Object.entries(values).map(([name, value]) => [name, { value, atMs: NOW_MS - 1_000, windowMs: 30_000 }]));
const counted = (...pods: readonly Pod[]): Counted => ({ pods, tolerance: TOLERANCE, nowMs: NOW_MS });

describe("a share of what pods request", () => {
  it.each<[string, Pod[], Record<string, number>, number | string]>([
    ["twice the target: twice the pods", [pod("a"), pod("b")], { a: 1_000, b: 1_000 }, 4],
    ["half of it: half of them", [pod("a"), pod("b")], { a: 250, b: 250 }, 1],
    ["a little off: nothing", [pod("a"), pod("b")], { a: 540, b: 540 }, 2],
    [
      "a pod without a number counts as idle when there is too much",
      [pod("a"), pod("b"), pod("c")],
      { a: 1_000, b: 1_000 },
      4,
    ],
    ["and as full when there is too little", [pod("a"), pod("b"), pod("c")], { a: 100, b: 100 }, 3],
    ["unless that would turn it around", [pod("a"), pod("b"), pod("c")], { a: 400, b: 400 }, 3],
    ["a pod that starts up counts as idle", [pod("a"), pod("b", "starting")], { a: 1_200, b: 3_000 }, 3],
    ["a pod that waits for a node too", [pod("a"), pod("b", "pending")], { a: 1_200 }, 3],
    [
      "one that fails or leaves not at all",
      [pod("a"), pod("b", "failed"), pod("c", "leaving")],
      { a: 1_000, b: 9_000, c: 9_000 },
      2,
    ],
    ["nobody has a number", [pod("a")], {}, "did not receive metrics for any ready pods"],
    ["no pods", [], { a: 1 }, "no pods returned by selector while calculating replica count"],
    ["no request", [pod("a", "ready", null)], { a: 1 }, "missing request for cpu in container c of Pod a"],
  ])("%s", (_what, pods, values, wanted) => {
    const found = utilizationReplicas(pods.length, 50, "cpu", "", samples(values), counted(...pods));
    expect("error" in found ? found.error : found.replicas).toBe(wanted);
  });

  it("is told as percent of the requests, cut off, and as an average", () => {
    const found = utilizationReplicas(2, 50, "cpu", "", samples({ a: 999, b: 500 }), counted(pod("a"), pod("b")));
    expect(found).toEqual({ replicas: 3, utilization: 74, usage: 749 });
  });
});

it("amounts for each pod, for all of them together, and each one's share", () => {
  const pods = [pod("a"), pod("b")];
  expect(averageReplicas(2, 100, "", samples({ a: 300, b: 300 }), counted(...pods))).toEqual({
    replicas: 6,
    usage: 300,
  });
  expect(valueReplicas(2, 100, 250, counted(...pods))).toEqual({ replicas: 5, usage: 250 });
  expect(valueReplicas(0, 100, 250, counted())).toEqual({ replicas: 3, usage: 250 });
  expect(shareReplicas(2, 100, 450, TOLERANCE)).toEqual({ replicas: 5, usage: 225 });
  expect(shareReplicas(2, 100, 210, TOLERANCE)).toEqual({ replicas: 2, usage: 105 });
});

it("a guess never turns the direction around", () => {
  const state = fc.constantFrom<PodState>("ready", "pending", "starting", "failed", "leaving");
  const one = fc.record({ state, value: fc.option(fc.integer({ min: 0, max: 3_000 })) });
  const property = fc.property(fc.array(one, { minLength: 1, maxLength: 8 }), (sketches) => {
    const pods = sketches.map(({ state: its }, index) => pod(`p${index}`, its));
    const values = Object.fromEntries(
      sketches.flatMap(({ value }, index) => (value === null ? [] : [[`p${index}`, value]])),
    );
    const found = utilizationReplicas(pods.length, 50, "cpu", "", samples(values), counted(...pods));
    if ("error" in found) return;
    expect(found.replicas).toBeGreaterThanOrEqual(0);
    // Above its target a measured load takes no pods away that carry it; below it brings none.
    const carrying = sketches.filter(({ state: its, value }) => its === "ready" && value !== null).length;
    if ((found.utilization ?? 0) > 55) expect(found.replicas).toBeGreaterThanOrEqual(carrying);
    if ((found.utilization ?? 0) < 45) expect(found.replicas).toBeLessThanOrEqual(pods.length);
  });
  fc.assert(property);
});

const BEHAVIOR: HorizontalPodAutoscalerBehavior = {
  scaleUp: {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [
      { type: "Pods", value: 2, periodSeconds: 60 },
      { type: "Percent", value: 50, periodSeconds: 60 },
    ],
  },
  scaleDown: {
    stabilizationWindowSeconds: 60,
    selectPolicy: "Min",
    policies: [
      { type: "Pods", value: 3, periodSeconds: 60 },
      { type: "Percent", value: 50, periodSeconds: 60 },
    ],
  },
};

describe("bounds, policies and windows", () => {
  const once = (
    current: number,
    desired: number,
    behavior?: HorizontalPodAutoscalerBehavior,
    history: History = NO_HISTORY,
  ) => {
    const { replicas, ableToScale, scalingLimited } = bounded(
      { current, desired, least: 2, most: 20, behavior },
      history,
      NOW_MS,
    );
    return [replicas, ableToScale.reason, scalingLimited.reason];
  };

  it.each<[number, number, HorizontalPodAutoscalerBehavior | undefined, number, string]>([
    [4, 30, undefined, 8, "ScaleUpLimit"],
    [1, 30, undefined, 4, "ScaleUpLimit"],
    [15, 30, undefined, 20, "TooManyReplicas"],
    [4, 1, undefined, 2, "TooFewReplicas"],
    [4, 5, undefined, 5, "DesiredWithinRange"],
    [4, 30, BEHAVIOR, 6, "ScaleUpLimit"],
    [10, 30, BEHAVIOR, 15, "ScaleUpLimit"],
    [16, 30, BEHAVIOR, 20, "TooManyReplicas"],
    [10, 2, BEHAVIOR, 7, "ScaleDownLimit"],
    [4, 1, BEHAVIOR, 2, "TooFewReplicas"],
    [4, 9, { ...BEHAVIOR, scaleUp: { selectPolicy: "Disabled" } }, 4, "ScaleUpLimit"],
  ])("from %i to %i", (current, desired, behavior, replicas, limit) => {
    expect(once(current, desired, behavior)).toEqual([replicas, "ReadyForNewScale", limit]);
  });

  it("what came within the period counts against its policy", () => {
    const history = withScaleEvent(NO_HISTORY, BEHAVIOR, 4, 6, NOW_MS - 30_000);
    expect(once(6, 30, BEHAVIOR, history)[0]).toBe(6);
    const older = withScaleEvent(NO_HISTORY, BEHAVIOR, 4, 6, NOW_MS - 61_000);
    expect(once(6, 30, BEHAVIOR, older)[0]).toBe(9);
  });

  it("goes down to the most that was asked for lately, and up to the least", () => {
    const recommendations = [{ replicas: 8, atMs: NOW_MS - 50_000 }];
    expect(once(10, 2, BEHAVIOR, { ...NO_HISTORY, recommendations }).slice(0, 2)).toEqual([8, "ScaleDownStabilized"]);
    expect(once(10, 2, undefined, { ...NO_HISTORY, recommendations }).slice(0, 2)).toEqual([8, "ScaleDownStabilized"]);
    const slow = { ...BEHAVIOR, scaleUp: { ...BEHAVIOR.scaleUp, stabilizationWindowSeconds: 60 } };
    expect(once(7, 9, slow, { ...NO_HISTORY, recommendations }).slice(0, 2)).toEqual([8, "ScaleUpStabilized"]);
  });

  it("never leaves the bounds, goes no way that nobody asked for, and comes to rest", () => {
    const number = fc.integer({ min: 0, max: 40 });
    const behavior = fc.constantFrom(undefined, BEHAVIOR);
    const property = fc.property(fc.array(number, { maxLength: 12 }), number, behavior, (asked, start, its) => {
      let [current, history, nowMs] = [Math.min(20, Math.max(2, start)), NO_HISTORY, NOW_MS];
      const step = (desired: number): number => {
        const decided = bounded({ current, desired, least: 2, most: 20, behavior: its }, history, nowMs);
        expect(decided.replicas).toBeGreaterThanOrEqual(2);
        expect(decided.replicas).toBeLessThanOrEqual(20);
        history = withScaleEvent(
          { ...history, recommendations: decided.recommendations },
          its,
          current,
          decided.replicas,
          nowMs,
        );
        nowMs += 15_000;
        return decided.replicas;
      };
      for (const desired of asked) current = step(desired);
      for (let round = 0; round < 200; round++) current = step(5);
      expect(current).toBe(5);
      expect(history.recommendations.length).toBeLessThan(25);
    });
    fc.assert(property);
  });
});

describe("the plan", () => {
  const CPU: MetricSpec = {
    type: "Resource",
    resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } },
  };
  const QUEUE: MetricSpec = {
    type: "External",
    external: { metric: { name: "queue" }, target: { type: "AverageValue", averageValue: "10" } },
  };
  const view = (
    replicas: number,
    metrics: MetricSpec[],
    readings: Reading[],
    more: Partial<AutoscalerView> = {},
  ): AutoscalerView => ({
    autoscaler: {
      metadata: { name: "web", namespace: "default", generation: 3 },
      spec: { scaleTargetRef: { kind: "Deployment", name: "web" }, minReplicas: 1, maxReplicas: 10, metrics },
    },
    scale: { metadata: { name: "web" }, spec: { replicas }, status: { replicas, selector: "app=web" } },
    pods: [pod("a"), pod("b")],
    readings,
    claimants: ["default/web"],
    history: NO_HISTORY,
    ...more,
  });
  const conditions = ({ status }: ReturnType<typeof plan>): readonly string[] =>
    (status.conditions ?? []).map(({ type, status: value, reason }) => `${type}=${value} ${reason}`);

  it("the metric that asks for most decides", () => {
    const planned = plan(view(2, [CPU, QUEUE], [{ pods: samples({ a: 600, b: 600 }) }, { value: 39_000 }]), NOW_MS);
    expect(planned.rescale).toEqual({ replicas: 4, reason: "external metric queue(nil) above target" });
    expect(planned.status).toMatchObject({
      observedGeneration: 3,
      currentReplicas: 2,
      desiredReplicas: 4,
      currentMetrics: [
        { type: "Resource", resource: { name: "cpu", current: { averageUtilization: 60, averageValue: "600m" } } },
        { type: "External", external: { metric: { name: "queue" }, current: { averageValue: "19500m" } } },
      ],
    });
    expect(conditions(planned)).toEqual([
      "AbleToScale=True ReadyForNewScale",
      "ScalingActive=True ValidMetricFound",
      "ScalingLimited=False DesiredWithinRange",
    ]);
  });

  it("one that cannot be had keeps others from taking pods away, and not from bringing some", () => {
    const error = "unable to get external metric default/queue/nil: gone";
    const down = plan(view(2, [CPU, QUEUE], [{ pods: samples({ a: 10, b: 10 }) }, { error }]), NOW_MS);
    expect(down.rescale).toBeUndefined();
    expect(down.events.map(({ reason }) => reason)).toEqual([
      "FailedGetExternalMetric",
      "FailedComputeMetricsReplicas",
    ]);
    expect(down.status.conditions?.[1]?.message).toBe(
      `the HPA was unable to compute the replica count: failed to get queue external metric: ${error}`,
    );
    const up = plan(view(2, [CPU, QUEUE], [{ pods: samples({ a: 900, b: 900 }) }, { error }]), NOW_MS);
    expect(up.rescale?.replicas).toBe(4);
  });

  it.each<[string, AutoscalerView, number | undefined, string]>([
    ["none: it is switched off", view(0, [CPU], []), undefined, "ScalingActive=False ScalingDisabled"],
    ["too many", view(12, [CPU], []), 10, "AbleToScale=True SucceededGetScale"],
    [
      "pods that another has too",
      view(2, [CPU], [{ error: "" }], { claimants: ["default/other", "default/web"] }),
      undefined,
      "ScalingActive=False AmbiguousSelector",
    ],
    [
      "no selector",
      view(2, [CPU], [], { scale: { metadata: {}, spec: { replicas: 2 }, status: { replicas: 2 } } }),
      undefined,
      "ScalingActive=False InvalidSelector",
    ],
  ])("%s", (_what, its, replicas, condition) => {
    const planned = plan(its, NOW_MS);
    expect(planned.rescale?.replicas).toBe(replicas);
    expect(conditions(planned)).toContain(condition);
  });

  it("asks for metrics within the bounds only", () => {
    const { autoscaler } = view(0, [CPU], []);
    const asks = [0, 1, 10, 11].map((replicas) => wantsMetrics(autoscaler, { metadata: {}, spec: { replicas } }));
    expect(asks).toEqual([false, true, true, false]);
  });
});
