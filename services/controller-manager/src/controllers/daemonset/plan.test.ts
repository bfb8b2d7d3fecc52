import type { DaemonSet } from "@pilothouse/api/types/apps-v1";
import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import * as fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { isUpdated, podFor, verdictOn } from "./rules.ts";
import { limitsOf } from "./plan-update.ts";
import { plan } from "./plan.ts";
import { isAvailable, podsByNode, type DaemonSetWorld } from "./plan-world.ts";

const NOW_MS = Date.parse("2026-01-01T01:00:00Z");
const NODES = ["n0", "n1", "n2", "n3", "n4"];

function setOf(rollingUpdate: { maxUnavailable: number | string; maxSurge: number | string }): DaemonSet {
  const template = { metadata: { labels: { app: "log" } }, spec: { containers: [{ name: "log" }] } };
  const metadata = { name: "log", namespace: "default", uid: "set" };
  return { metadata, spec: { template, updateStrategy: { type: "RollingUpdate", rollingUpdate } } };
}

let made = 0;
function podOn(set: DaemonSet, node: string, hash: string, isReady: boolean): Pod {
  const { metadata, spec } = podFor(set, node, hash);
  const ready = { type: "Ready", status: isReady ? "True" : "False", lastTransitionTime: "2026-01-01T00:00:00Z" };
  const status = { phase: "Running", conditions: [ready] };
  return { metadata: { ...metadata, name: `log-${made++}` }, spec: { ...spec, nodeName: node }, status };
}

function worldOf(set: DaemonSet, nodes: readonly Node[], pods: readonly Pod[]): DaemonSetWorld {
  return { set, nodes, pods, hash: "new", backoffUntilMs: () => 0, nowMs: NOW_MS };
}

const anyWorld = fc
  .record({
    limits: fc.constantFrom(
      { maxUnavailable: 1, maxSurge: 0 },
      { maxUnavailable: "40%", maxSurge: 0 },
      { maxUnavailable: 0, maxSurge: 1 },
      { maxUnavailable: 0, maxSurge: "60%" },
    ),
    tainted: fc.subarray(NODES),
    pods: fc.array(
      fc.record({
        node: fc.constantFrom(...NODES, "gone"),
        hash: fc.constantFrom("old", "old", "new"),
        isReady: fc.boolean(),
      }),
      { maxLength: 8 },
    ),
  })
  .map(({ limits, tainted, pods }) => {
    const set = setOf(limits);
    const taints = [{ key: "mine", effect: "NoExecute" }];
    const nodes = NODES.map((name) => ({ metadata: { name }, spec: tainted.includes(name) ? { taints } : {} }));
    return worldOf(
      set,
      nodes,
      pods.map(({ node, hash, isReady }) => podOn(set, node, hash, isReady)),
    );
  });

const wanted = ({ set, nodes }: DaemonSetWorld): string[] =>
  nodes.filter((node) => verdictOn(set, node).shouldRun).map(({ metadata }) => metadata.name ?? "");
const serving = ({ set, pods, nowMs, ...world }: DaemonSetWorld): number => {
  const byNode = podsByNode(pods.filter((pod) => isAvailable(set, pod, nowMs)));
  return wanted({ set, pods, nowMs, ...world }).filter((node) => byNode.has(node)).length;
};

it("takes no more nodes out of service for a rollout than may be unavailable", () => {
  fc.assert(
    fc.property(anyWorld, (world) => {
      const planned = plan(world);
      const after = { ...world, pods: world.pods.filter((pod) => !planned.delete.includes(pod)) };
      const nodes = wanted(world);
      const { unavailable } = limitsOf(world.set, nodes.length);
      // What is one too many on its node, or not ready, may go besides.
      expect(serving(after)).toBeGreaterThanOrEqual(
        Math.min(serving(world), nodes.length - unavailable) - crowded(world),
      );
    }),
  );
});

/** Nodes with more pods than belong there: what is left of them is decided by age, not by who serves. */
function crowded({ pods }: DaemonSetWorld): number {
  return [...podsByNode(pods).values()].filter((onNode) => onNode.length > 1).length;
}

it("comes to an end: one pod of the newest template on each node that should run one, and nothing left to do", () => {
  fc.assert(
    fc.property(anyWorld, (start) => {
      let world = start;
      for (let round = 0; round < 40; round++) {
        const planned = plan(world);
        // Pods that run on nodes that are no more are the pod collector's.
        const kept = world.pods.filter((pod) => !planned.delete.includes(pod) && pod.spec.nodeName !== "gone");
        const fresh = planned.create.map((node) => podOn(world.set, node, "new", false));
        world = { ...world, pods: [...kept.map(ready), ...fresh] };
      }
      expect(plan(world)).toMatchObject({ create: [], delete: [] });
      const placed = world.pods.filter(({ spec }) => spec.nodeName !== "gone");
      expect(placed.map(({ spec }) => spec.nodeName ?? "").sort()).toEqual(wanted(world).sort());
      const isNew = (pod: Pod): boolean => isUpdated(world.set, pod, world.hash);
      expect(placed.filter((pod) => isAvailable(world.set, pod, NOW_MS) && !isNew(pod))).toEqual([]);
    }),
  );
});

function ready(pod: Pod): Pod {
  const condition = { type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" };
  return { ...pod, status: { ...pod.status, conditions: [condition] } };
}

describe("which nodes run a pod", () => {
  const node = (more: Partial<Node["spec"]> = {}): Node => ({
    metadata: { name: "n1", labels: { disk: "ssd" } },
    spec: more,
  });
  const taint = (key: string, effect: string): Node => node({ taints: [{ key, effect }] });
  const set = (spec: object): DaemonSet => {
    const one = setOf({ maxUnavailable: 1, maxSurge: 0 });
    return { ...one, spec: { ...one.spec, template: { ...one.spec.template, spec: { containers: [], ...spec } } } };
  };
  const tolerant = { tolerations: [{ key: "mine", operator: "Exists" }] };
  test.each<[string, object, Node, boolean, boolean]>([
    ["any other", {}, node(), true, true],
    ["one that the template names", { nodeName: "n1" }, node(), true, true],
    ["another than the template names", { nodeName: "n2" }, node(), false, false],
    ["one with the labels", { nodeSelector: { disk: "ssd" } }, node(), true, true],
    ["one without", { nodeSelector: { disk: "hdd" } }, node(), false, false],
    ["one that takes no new pods", {}, taint("mine", "NoSchedule"), false, true],
    ["one that throws pods out", {}, taint("mine", "NoExecute"), false, false],
    ["one whose taint is tolerated", tolerant, taint("mine", "NoExecute"), true, true],
    ["one that is cordoned", {}, taint("node.kubernetes.io/unschedulable", "NoSchedule"), true, true],
    ["one that is not ready", {}, taint("node.kubernetes.io/not-ready", "NoExecute"), true, true],
    ["one without network", {}, taint("node.kubernetes.io/network-unavailable", "NoSchedule"), false, true],
    [
      "one without network, on the host's own",
      { hostNetwork: true },
      taint("node.kubernetes.io/network-unavailable", "NoSchedule"),
      true,
      true,
    ],
  ])("%s", (_name, spec, on, shouldRun, mayStay) => {
    expect(verdictOn(set(spec), on)).toEqual({ shouldRun, mayStay });
  });

  test("a pod is made for its node only, whatever else the template wanted", () => {
    const affinity = {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: "disk", operator: "Exists" }] }],
        },
        preferredDuringSchedulingIgnoredDuringExecution: [],
      },
    };
    const { spec } = podFor(set({ affinity, tolerations: [{ key: "a", operator: "Exists" }] }), "n1", "hash");
    expect(spec.affinity?.nodeAffinity).toEqual({
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["n1"] }] }],
      },
      preferredDuringSchedulingIgnoredDuringExecution: [],
    });
    expect(spec.tolerations?.[0]).toEqual({ key: "a", operator: "Exists" });
  });
});
