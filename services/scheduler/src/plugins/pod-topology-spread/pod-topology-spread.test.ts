import type { Pod, TopologySpreadConstraint } from "@pilothouse/api/types/core-v1";
import { expect, test } from "vitest";
import { node, pod, stateOf } from "../../core/cluster.fixture.ts";
import { podTopologySpread, SKEW_REASON } from "./pod-topology-spread.ts";

const web = { matchLabels: { app: "web" } };
const over = (topologyKey: string, more: Partial<TopologySpreadConstraint> = {}): TopologySpreadConstraint => ({
  maxSkew: 1,
  topologyKey,
  whenUnsatisfiable: "ScheduleAnyway",
  labelSelector: web,
  ...more,
});
const HARD = { whenUnsatisfiable: "DoNotSchedule" };
const on = (name: string, nodeName: string): Pod => pod(name, { nodeName });

/** By node: the score that counts. */
function scores(nodes: Parameters<typeof stateOf>[0], running: readonly Pod[], wanted: Pod): Record<string, number> {
  const snapshot = stateOf(nodes, running).snapshot();
  const prepared = podTopologySpread.prepare(wanted, snapshot);
  const raw = snapshot.nodes.map((each) => podTopologySpread.score?.(wanted, each, prepared) ?? 0);
  const normalized = podTopologySpread.normalize?.(raw) ?? raw;
  return Object.fromEntries(snapshot.nodes.map(({ name }, index) => [name, normalized[index] ?? 0]));
}

/** By node: why not, or "fits". */
function verdicts(nodes: Parameters<typeof stateOf>[0], running: readonly Pod[], wanted: Pod): Record<string, string> {
  const snapshot = stateOf(nodes, running).snapshot();
  const prepared = podTopologySpread.prepare(wanted, snapshot);
  return Object.fromEntries(
    snapshot.nodes.map((each) => {
      const verdict = podTopologySpread.filter?.(wanted, each, prepared);
      return [each.name, !verdict || verdict.verdict === "fits" ? "fits" : verdict.reasons.join()];
    }),
  );
}

test("softly spread pods go where the fewest of their like are, and last of all where that cannot be said", () => {
  const nodes = [node("full", { labels: { zone: "1" } }), node("free", { labels: { zone: "2" } }), node("unlabelled")];
  const running = [on("x", "full"), on("y", "full"), on("z", "free")];
  const found = scores(nodes, running, pod("p", { topologySpreadConstraints: [over("zone")] }));
  expect(found["free"]).toBe(100);
  expect(found["full"]).toBeGreaterThan(0);
  expect(found["full"]).toBeLessThan(100);
  expect(found["unlabelled"]).toBe(0);
});

test("a larger maxSkew makes less of a difference", () => {
  const nodes = [node("a", { labels: { zone: "1" } }), node("b", { labels: { zone: "2" } })];
  const spread = (maxSkew: number) =>
    scores(nodes, [on("x", "a")], pod("p", { topologySpreadConstraints: [over("zone", { maxSkew })] }));
  expect(spread(1)["a"]).toBe(0);
  expect(spread(5)["a"]).toBeGreaterThan(50);
  expect([spread(1)["b"], spread(5)["b"]]).toEqual([100, 100]);
});

test("a node that lacks one of the labels counts for none of the constraints stated together", () => {
  const nodes = [
    node("a", { labels: { zone: "1", rack: "1" } }),
    node("b", { labels: { zone: "2", rack: "2" } }),
    node("c", { labels: { zone: "3" } }),
  ];
  const running = [on("x", "a"), on("y", "b")];
  const wanted = pod("p", { topologySpreadConstraints: [over("zone", HARD), over("rack", HARD)] });
  // Zone 3 has none, but no pod that is spread over racks too could go there.
  expect(verdicts(nodes, running, wanted)).toMatchObject({ a: "fits", b: "fits" });
  const zonesOnly = pod("p", { topologySpreadConstraints: [over("zone", HARD)] });
  expect(verdicts(nodes, running, zonesOnly)).toEqual({ a: SKEW_REASON, b: SKEW_REASON, c: "fits" });
});

test("a node has no label that only every object has", () => {
  const wanted = pod("p", { topologySpreadConstraints: [over("toString", HARD)] });
  expect(verdicts([node("a")], [], wanted)["a"]).not.toBe("fits");
});
