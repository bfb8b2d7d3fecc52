import type { Pod } from "@pilothouse/api/types/core-v1";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { plugins } from "../plugins/registry.ts";
import { node, pod, stateOf } from "./cluster.fixture.ts";
import { fits, schedule } from "./cycle.ts";
import { preempt, priorityOf, type Budget, type Preemption } from "./preemption.ts";
import { withPods, type ClusterState } from "./snapshot.ts";

interface Running {
  readonly on: string;
  readonly priority: number;
  readonly cpu: string;
  readonly startTime?: string;
  readonly labels?: Record<string, string>;
}

function running(name: string, { on, priority, cpu, startTime, labels }: Running): Pod {
  const made = pod(name, { nodeName: on, priority }, { cpu });
  return {
    ...made,
    metadata: { ...made.metadata, ...(labels ? { labels } : {}) },
    status: { phase: "Running", startTime: startTime ?? "2026-01-01T00:00:00Z" },
  };
}

function tryFor(wanted: Pod, state: ClusterState, budgets: readonly Budget[] = []): Preemption {
  const snapshot = state.snapshot();
  const decision = schedule(wanted, snapshot, plugins, 0);
  if (decision.outcome === "scheduled") throw new Error(`it fits on ${decision.node.name}`);
  return preempt(wanted, snapshot, plugins, decision.rejections, budgets);
}

function told(preemption: Preemption): string {
  if (preemption.outcome === "none") return preemption.message;
  return `${preemption.nodeName}: ${preemption.victims.map(({ metadata }) => metadata.name).join(", ")}`;
}

const important = (cpu: string, more: Partial<Pod["spec"]> = {}): Pod =>
  pod("important", { priority: 100, ...more }, { cpu });

/** Each row: who runs, what the important pod asks for, and who has to go, from where. */
const CHOICES: readonly (readonly [
  what: string,
  runs: Readonly<Record<string, Running>>,
  cpu: string,
  wanted: string,
])[] = [
  [
    "only as many go as must, the least important first",
    {
      low: { on: "a", priority: 1, cpu: "2" },
      middle: { on: "a", priority: 50, cpu: "2" },
      full: { on: "b", priority: 100, cpu: "4" },
    },
    "2",
    "a: low",
  ],
  [
    "among equals those that started last",
    {
      old: { on: "a", priority: 1, cpu: "2", startTime: "2026-01-01T00:00:00Z" },
      young: { on: "a", priority: 1, cpu: "2", startTime: "2026-02-01T00:00:00Z" },
      full: { on: "b", priority: 100, cpu: "4" },
    },
    "2",
    "a: young",
  ],
  [
    "the node whose victims matter least",
    { one: { on: "a", priority: 20, cpu: "4" }, other: { on: "b", priority: 10, cpu: "4" } },
    "4",
    "b: other",
  ],
  [
    "fewer victims, where they matter the same",
    {
      big: { on: "a", priority: 10, cpu: "4" },
      small: { on: "b", priority: 10, cpu: "2" },
      small2: { on: "b", priority: 0, cpu: "2" },
    },
    "4",
    "a: big",
  ],
  [
    "nobody of equal or greater importance",
    { same: { on: "a", priority: 100, cpu: "4" }, more: { on: "b", priority: 200, cpu: "4" } },
    "4",
    "0/2 nodes are available: 2 No preemption victims found for incoming pod.",
  ],
  [
    "nobody, where even that would not be enough",
    {
      low: { on: "a", priority: 1, cpu: "1" },
      high: { on: "a", priority: 200, cpu: "3" },
      more: { on: "b", priority: 200, cpu: "4" },
    },
    "2",
    "0/2 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod.",
  ],
];

test.each(CHOICES)("who has to go: %s", (_what, runs, cpu, wanted) => {
  const state = stateOf(
    [node("a"), node("b")],
    Object.entries(runs).map(([name, one]) => running(name, one)),
  );
  expect(told(tryFor(important(cpu), state))).toBe(wanted);
});

test("budgets are kept where that is possible, and broken where nothing else helps", () => {
  const labels = { app: "kept" };
  const budget: Budget = {
    namespace: "default",
    matches: (found) => found["app"] === "kept",
    allowed: 0,
    disrupted: new Set(),
  };
  const kept = running("kept", { on: "a", priority: 1, cpu: "4", labels });
  const other = running("other", { on: "b", priority: 50, cpu: "4" });
  expect(told(tryFor(important("4"), stateOf([node("a"), node("b")], [kept, other]), [budget]))).toBe("b: other");
  expect(told(tryFor(important("4"), stateOf([node("a")], [kept]), [budget]))).toBe("a: kept");
});

test("a pod that never preempts says so, and one whose victims are leaving waits", () => {
  const low = running("low", { on: "a", priority: 1, cpu: "4" });
  expect(told(tryFor(important("4", { preemptionPolicy: "Never" }), stateOf([node("a")], [low])))).toBe(
    "not eligible due to preemptionPolicy=Never.",
  );
  const leaving = { ...low, metadata: { ...low.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } };
  const waiting = { ...important("4"), status: { nominatedNodeName: "a" } };
  expect(told(tryFor(waiting, stateOf([node("a")], [leaving])))).toBe(
    "not eligible due to a terminating pod on the nominated node.",
  );
});

test("room that victims leave is kept for who made it, from those less important only", () => {
  const state = stateOf([node("a")], []);
  state.nominate(important("3"), "a");
  const decide = (priority: number): string =>
    schedule(pod("rival", { priority }, { cpu: "2" }), state.snapshot(), plugins, 0).outcome;
  expect(decide(1)).toBe("unschedulable");
  expect(decide(100)).toBe("unschedulable");
  expect(decide(101)).toBe("scheduled");
  expect(schedule(important("3"), state.snapshot(), plugins, 0).outcome).toBe("scheduled");
  state.withdraw("default/important");
  expect(decide(1)).toBe("scheduled");
});

test("whoever runs: victims are less important, the pod fits without them, and not with one of them back", () => {
  const someone = fc.record({
    on: fc.constantFrom("a", "b", "c"),
    priority: fc.integer({ min: 0, max: 5 }),
    cpu: fc.integer({ min: 100, max: 2_000 }).map((milli) => `${milli}m`),
  });
  fc.assert(
    fc.property(fc.array(someone, { maxLength: 12 }), fc.integer({ min: 0, max: 6 }), (runs, priority) => {
      const state = stateOf(
        [node("a"), node("b"), node("c")],
        runs.map((one, index) => running(`pod-${index}`, one)),
      );
      const wanted = pod("wanted", { priority }, { cpu: "3" });
      const snapshot = state.snapshot();
      const decision = schedule(wanted, snapshot, plugins, 0);
      if (decision.outcome === "scheduled") return;
      const preemption = preempt(wanted, snapshot, plugins, decision.rejections, []);
      if (preemption.outcome === "none") return;
      const { nodeName, victims } = preemption;
      const target = snapshot.nodes.find(({ name }) => name === nodeName);
      if (!target) throw new Error(`no node ${nodeName}`);
      expect(victims.length).toBeGreaterThan(0);
      expect(victims.every((victim) => priorityOf(victim) < priority)).toBe(true);
      const staying = target.pods.filter((one) => !victims.includes(one));
      expect(fits(wanted, withPods(target, staying), snapshot, plugins)).toBeUndefined();
      for (const victim of victims) {
        expect(fits(wanted, withPods(target, [...staying, victim]), snapshot, plugins)).toBeDefined();
      }
    }),
  );
});
