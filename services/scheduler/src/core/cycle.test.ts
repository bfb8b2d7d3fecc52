import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { plugins } from "../plugins/registry.ts";
import { node, pod, stateOf } from "./cluster.fixture.ts";
import { enoughOf, schedule } from "./cycle.ts";
import { preempt } from "./preemption.ts";
import { ClusterState } from "./snapshot.ts";

/** The node's name, or what the pod's event says; nobody is preempted here. */
function decide(nodes: readonly Node[], running: readonly Pod[], wanted: Pod): string {
  const snapshot = stateOf(nodes, running).snapshot();
  const decision = schedule(wanted, snapshot, plugins, 0);
  if (decision.outcome === "scheduled") return decision.node.name;
  if (decision.rejections.length === 0) return decision.message;
  const preemption = preempt(wanted, snapshot, plugins, decision.rejections, []);
  return preemption.outcome === "none" ? `${decision.message} preemption: ${preemption.message}` : decision.message;
}

/** Each row: what keeps the pod away, and the words a user reads in the event. */
const REJECTIONS: readonly (readonly [string, readonly Node[], readonly Pod[], Pod, string])[] = [
  ["no nodes at all", [], [], pod("p"), "no nodes available to schedule pods"],
  [
    "too little CPU on one, too little memory on the other",
    [node("a", { cpu: "1" }), node("b", { memory: "1Gi" })],
    [pod("x", { nodeName: "a" }, { cpu: "500m" }), pod("y", { nodeName: "b" }, { memory: "600Mi" })],
    pod("p", {}, { cpu: "1", memory: "512Mi" }),
    "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.",
  ],
  [
    "more than the node has",
    [node("a", { cpu: "1" })],
    [],
    pod("p", {}, { cpu: "2" }),
    "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
  ],
  [
    "a taint, a cordon, and a selector",
    [
      node("a", { taints: [{ key: "dedicated", value: "db", effect: "NoSchedule" }] }),
      node("b", { unschedulable: true }),
      node("c"),
    ],
    [],
    pod("p", { nodeSelector: { disk: "ssd" } }),
    "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint {dedicated: db}, 1 node(s) were unschedulable. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
  ],
  [
    "a host port that is taken",
    [node("a")],
    [
      pod("x", {
        nodeName: "a",
        containers: [{ name: "c", image: "i", ports: [{ containerPort: 80, hostPort: 80 }] }],
      }),
    ],
    pod("p", {
      containers: [{ name: "c", image: "i", ports: [{ containerPort: 80, hostPort: 80, hostIP: "127.0.0.1" }] }],
    }),
    "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
  ],
];

test.each(REJECTIONS)("rejected: %s", (_what, nodes, running, wanted, message) => {
  expect(decide(nodes, running, wanted)).toBe(message);
});

test("a pod goes where there is most room", () => {
  const running = [pod("x", { nodeName: "a" }, { cpu: "3", memory: "6Gi" })];
  expect(decide([node("a"), node("b")], running, pod("p", {}, { cpu: "500m", memory: "1Gi" }))).toBe("b");
});

test("hard spreading keeps the skew, in the words of its constraint", () => {
  const spread = {
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: "zone",
        whenUnsatisfiable: "DoNotSchedule",
        labelSelector: { matchLabels: { app: "web" } },
      },
    ],
  };
  const nodes = [node("a", { labels: { zone: "1" } }), node("b", { labels: { zone: "2" }, cpu: "1" })];
  const one = pod("x", { nodeName: "a" });
  expect(decide(nodes, [one], pod("p", spread))).toBe("b");
  expect(decide(nodes, [one], pod("p", spread, { cpu: "2" }))).toContain(
    "1 node(s) didn't match pod topology spread constraints",
  );
});

test("an assumed pod counts until it is forgotten", () => {
  const state = new ClusterState();
  state.setNode(node("a", { cpu: "1" }));
  const first = pod("first", {}, { cpu: "1" });
  state.assume(first, "a");
  expect(schedule(pod("second", {}, { cpu: "1" }), state.snapshot(), plugins, 0).outcome).toBe("unschedulable");
  state.forget(first);
  expect(schedule(pod("second", {}, { cpu: "1" }), state.snapshot(), plugins, 0).outcome).toBe("scheduled");
});

test("no sequence of pods ever overcommits a node", () => {
  const sizes = fc.array(
    fc.record({ cpu: fc.integer({ min: 0, max: 2000 }), memory: fc.integer({ min: 0, max: 4096 }) }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(sizes, fc.double({ min: 0, max: 0.999, noNaN: true }), (wanted, tieBreak) => {
      const state = new ClusterState();
      for (const name of ["a", "b", "c"]) state.setNode(node(name));
      for (const [index, { cpu, memory }] of wanted.entries()) {
        const one = pod(`p${index}`, {}, { cpu: `${cpu}m`, memory: `${memory}Mi` });
        const decision = schedule(one, state.snapshot(), plugins, tieBreak);
        if (decision.outcome === "scheduled") state.assume(one, decision.node.name);
      }
      for (const { requested, allocatable } of state.snapshot().nodes) {
        expect(requested.get("cpu") ?? 0).toBeLessThanOrEqual(allocatable.get("cpu") as number);
        expect(requested.get("memory") ?? 0).toBeLessThanOrEqual(allocatable.get("memory") as number);
      }
    }),
    { numRuns: 50 },
  );
});

test("of many nodes enough are looked at, from all ends, the cleared one first; and a pod that fits anywhere is not refused", () => {
  expect([3, 99, 100, 400, 1_000, 5_000, 6_000].map(enoughOf)).toEqual([3, 99, 100, 188, 420, 500, 300]);
  const names = Array.from({ length: 400 }, (_, index) => `n${index}`);
  const state = new ClusterState();
  for (const name of names) state.setNode(node(name, { labels: { only: name } }));
  const snapshot = state.snapshot();
  const chosen = new Set<string>();
  for (let at = 0; at < 40; at++) {
    const decision = schedule(pod("p"), snapshot, plugins, at / 40);
    if (decision.outcome !== "scheduled") throw new Error(decision.message);
    expect([decision.evaluated, decision.feasible]).toEqual([188, 188]);
    chosen.add(decision.node.name);
    const picky = pod("q", { nodeSelector: { only: `n${at * 10}` } });
    expect(schedule(picky, snapshot, plugins, 0.5)).toMatchObject({ node: { name: `n${at * 10}` }, evaluated: 400 });
    const cleared = { ...pod("r"), status: { nominatedNodeName: `n${at * 10}` } };
    expect(schedule(cleared, snapshot, plugins, 0.3)).toMatchObject({ node: { name: `n${at * 10}` } });
  }
  expect(chosen.size).toBe(40);
});
