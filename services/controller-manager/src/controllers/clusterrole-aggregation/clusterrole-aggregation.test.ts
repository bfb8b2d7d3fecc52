import type { ClusterRole, PolicyRule } from "@pilothouse/api/types/rbac-v1";
import { resources } from "@pilothouse/client";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { rulesWanted } from "./plan.ts";
import { startClusterRoleAggregationController } from "./reconcile.ts";

const opened: Cluster[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

const may = (resource: string): PolicyRule => ({ verbs: ["get"], apiGroups: ["shop"], resources: [resource] });
const part = (name: string, labels: Record<string, string>, ...rules: PolicyRule[]): ClusterRole => ({
  metadata: { name, labels },
  rules,
});
const gathers = (...labels: Record<string, string>[]): ClusterRole => ({
  metadata: { name: "all" },
  aggregationRule: { clusterRoleSelectors: labels.map((matchLabels) => ({ matchLabels })) },
  rules: [],
});

describe("the rules of a role that gathers", () => {
  it("are those of the roles that it selects, by selector and name, each once, and not its own", () => {
    const all = [
      part("b", { to: "x" }, may("one"), may("two")),
      part("a", { to: "x" }, may("one")),
      part("c", { to: "y" }, may("three")),
      part("d", {}, may("four")),
      { ...gathers({ to: "y" }, { to: "x" }), metadata: { name: "all", labels: { to: "x" } }, rules: [may("five")] },
    ];
    expect(rulesWanted(all[4] as ClusterRole, all)).toEqual([may("three"), may("one"), may("two")]);
  });

  it("are left when they are right, whatever order the others come in", () => {
    const parts = ["a", "b", "c", "d"].map((name) => part(name, { to: "x" }, may(name), may("same")));
    fc.assert(
      fc.property(fc.shuffledSubarray(parts), (some) => {
        const rules = rulesWanted(gathers({ to: "x" }), some) ?? [];
        expect(rulesWanted({ ...gathers({ to: "x" }), rules: [...rules] }, some.toReversed())).toBeUndefined();
        expect(rules).toHaveLength(some.length === 0 ? 0 : some.length + 1);
      }),
    );
    expect(rulesWanted(part("a", {}, may("one")), parts)).toBeUndefined();
  });
});

describe("admin, edit and view", () => {
  it("take in what an operator adds, and lose it again; then there is silence", async () => {
    const world = await cluster("aggregation");
    opened.push(world);
    startClusterRoleAggregationController(world.ports);
    await world.pass(500);
    const rulesOf = async (name: string) => (await world.find(resources.clusterRoles, "", name))?.rules ?? [];
    const label = { "rbac.authorization.k8s.io/aggregate-to-view": "true" };
    await world.client.create<ClusterRole>(resources.clusterRoles, part("shop-viewer", label, may("orders")));
    await world.pass(500);
    for (const name of ["view", "edit", "admin"]) expect(await rulesOf(name)).toContainEqual(may("orders"));
    await world.client.delete(resources.clusterRoles, "", "shop-viewer");
    await world.pass(500);
    for (const name of ["view", "edit", "admin"]) expect(await rulesOf(name)).not.toContainEqual(may("orders"));
    const before = world.writes.length;
    await world.pass(5_000);
    expect(world.writes.length).toBe(before);
    expect(world.failures).toEqual([]);
  });
});
