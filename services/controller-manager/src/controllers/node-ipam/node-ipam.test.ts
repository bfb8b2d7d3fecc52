import type { Node } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { plan } from "./plan.ts";
import { startNodeIpamController } from "./reconcile.ts";
import { blockCidr, blockSpace, blocksTouched } from "./rules.ts";

const opened: Cluster[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function started(clusterCidr = "198.18.0.0/16"): Promise<Cluster> {
  const world = await cluster("ipam", { clusterCidr });
  opened.push(world);
  startNodeIpamController(world.ports);
  return world;
}

const node = (name: string, podCIDR?: string): Node => ({
  metadata: { name, uid: name },
  spec: podCIDR === undefined ? {} : { podCIDR, podCIDRs: [podCIDR] },
});
const add = (world: Cluster, name: string): Promise<Node> =>
  world.client.create(resources.nodes, { metadata: { name }, spec: {} });
const cidrs = async (world: Cluster): Promise<(string | undefined)[]> =>
  (await world.all(resources.nodes)).map(({ spec }) => spec.podCIDR);

describe("the node IPAM controller", () => {
  it("gives each node addresses of its own, also when many come at once", async () => {
    const world = await started();
    await Promise.all(["a", "b", "c", "d"].map((name) => add(world, name)));
    await world.pass(500);
    expect(new Set(await cidrs(world))).toEqual(
      new Set(["198.18.0.0/24", "198.18.1.0/24", "198.18.2.0/24", "198.18.3.0/24"]),
    );
    expect((await world.find(resources.nodes, "", "a"))?.spec.podCIDRs).toHaveLength(1);
    expect(world.failures).toEqual([]);
  });

  it("leaves what a node has, and never gives that to another", async () => {
    const world = await started();
    await world.client.create(resources.nodes, { metadata: { name: "own" }, spec: { podCIDR: "198.18.0.0/23" } });
    await add(world, "a");
    await world.pass(500);
    expect(await cidrs(world)).toEqual(["198.18.2.0/24", "198.18.0.0/23"]);
  });

  it("tells when there are no more, and gives what a gone node had to one that waits", async () => {
    const world = await started("198.18.0.0/23");
    for (const name of ["a", "b", "c"]) await add(world, name);
    await world.pass(500);
    expect(await cidrs(world)).toEqual(["198.18.0.0/24", "198.18.1.0/24", undefined]);
    const events = await world.all(resources.events, "default");
    expect(events).toMatchObject([
      {
        reason: "CIDRNotAvailable",
        message: "Node c status is now: CIDRNotAvailable",
        type: "Normal",
        involvedObject: { kind: "Node", name: "c" },
      },
    ]);
    await world.client.delete(resources.nodes, "", "a");
    await world.pass(500);
    expect(await cidrs(world)).toEqual(["198.18.1.0/24", "198.18.0.0/24"]);
  });

  it("gives no two nodes the same when answers are lost and another leader goes on", async () => {
    const world = await cluster("ipam");
    opened.push(world);
    let patches = 0;
    world.afterwards = ({ method }) => {
      if (method === "PATCH" && patches++ % 2 === 0) throw new Error("connection reset");
    };
    const first = await world.anotherLeader("first");
    startNodeIpamController(first.ports);
    for (const name of ["a", "b", "c", "d", "e"]) await add(world, name);
    await world.clock.advance(1);
    await first.close();
    const second = await world.anotherLeader("second");
    startNodeIpamController(second.ports);
    for (const name of ["f", "g"]) await add(world, name);
    await world.pass(3_000);
    const given = await cidrs(world);
    expect(given.every((cidr) => cidr !== undefined)).toBe(true);
    expect(new Set(given).size).toBe(7);
    expect(patches).toBeGreaterThanOrEqual(7);
  });
});

describe("the plan", () => {
  const space = blockSpace("198.18.0.0/16", 24);

  it("cuts a network into blocks, and knows which ones another network touches", () => {
    expect([space.count, blockCidr(space, 255)]).toEqual([256, "198.18.255.0/24"]);
    expect(blocksTouched(space, "198.18.4.128/25")).toEqual([4]);
    expect(blocksTouched(space, "198.18.4.0/22")).toEqual([4, 5, 6, 7]);
    expect(blocksTouched(space, "203.0.113.0/24")).toEqual([]);
    expect(blocksTouched(space, "198.16.0.0/14")).toHaveLength(256);
    expect(() => blockSpace("198.18.0.0/26", 24)).toThrow("is no IPv4 network");
  });

  it("never gives a block that is shown or promised, and always gives one while there is one", () => {
    const small = blockSpace("198.18.0.0/21", 24);
    const property = fc.property(
      fc.uniqueArray(fc.nat(7)),
      fc.uniqueArray(fc.nat(7)),
      fc.integer({ min: -1, max: 7 }),
      (shown, promises, last) => {
        const nodes = shown.map((index) => node(`n${index}`, blockCidr(small, index)));
        const promised = new Map(promises.map((block) => [`p${block}`, block]));
        const action = plan(node("new"), { space: small, nodes, promised, last });
        const taken = new Set([...shown, ...promises]);
        if (action.do === "assign") expect(taken.has(action.block)).toBe(false);
        else expect([action.do, taken.size]).toEqual(["tell exhausted", 8]);
      },
    );
    fc.assert(property);
  });

  it("keeps its promise to a node, unless somebody else has taken the block meanwhile", () => {
    const promised = new Map([["a", 3]]);
    expect(plan(node("a"), { space, nodes: [], promised, last: 3 })).toMatchObject({ block: 3 });
    const nodes = [node("b", "198.18.3.0/24")];
    expect(plan(node("a"), { space, nodes, promised, last: 3 })).toMatchObject({ block: 4 });
  });
});
