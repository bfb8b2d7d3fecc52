import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Node } from "@pilothouse/api/types/core-v1";
import { planPodRoutes, routeChanges, tunnelHardwareAddress, type PodRoute } from "./pod-routes.ts";

const node = (name: string, address: string, podCIDR?: string): Node => ({
  metadata: { name },
  spec: podCIDR === undefined ? {} : { podCIDR, podCIDRs: [podCIDR] },
  status: {
    addresses: [
      { type: "Hostname", address: name },
      { type: "InternalIP", address },
    ],
  },
});
const here = node("here", "198.51.100.21", "198.18.0.0/24");
const near = node("near", "198.51.100.22", "198.18.1.0/24");
const far = node("far", "203.0.113.9", "198.18.2.0/24");
const own = { nodeName: "here", links: ["198.51.100.21/24"] };

test("neighbours are reached directly, others through the tunnel, and this node needs no route to itself", () => {
  expect(planPodRoutes([here, near, far], { ...own, mode: "auto" })).toEqual([
    { podCidr: "198.18.1.0/24", nodeAddress: "198.51.100.22", way: "direct" },
    { podCidr: "198.18.2.0/24", nodeAddress: "203.0.113.9", way: "tunnel" },
  ]);
});

test("one way for all, where the operator says so", () => {
  const ways = (mode: "direct" | "tunnel") => planPodRoutes([near, far], { ...own, mode }).map(({ way }) => way);
  expect(ways("direct")).toEqual(["direct", "direct"]);
  expect(ways("tunnel")).toEqual(["tunnel", "tunnel"]);
});

test("a node without a share or an address yet, or that goes, has no route", () => {
  const gone = { ...far, metadata: { name: "far", deletionTimestamp: "2026-01-01T00:00:00Z" } };
  const nodes = [
    node("young", "198.51.100.23"),
    { metadata: { name: "silent" }, spec: { podCIDR: "198.18.3.0/24" } },
    gone,
  ];
  expect(planPodRoutes(nodes, { ...own, mode: "auto" })).toEqual([]);
});

test("each node's end of the tunnel has a hardware address of its own", () => {
  expect(tunnelHardwareAddress("198.51.100.21")).toBe("0e:50:c6:33:64:15");
});

test("whatever there was: the changes lead to what is wanted, and touch nothing that is right", () => {
  const route = fc.record({
    podCidr: fc.integer({ min: 0, max: 5 }).map((n) => `198.18.${n}.0/24`),
    nodeAddress: fc.integer({ min: 1, max: 3 }).map((n) => `198.51.100.${n}`),
    way: fc.constantFrom("direct" as const, "tunnel" as const),
  });
  const table = fc.uniqueArray(route, { selector: ({ podCidr }) => podCidr });
  fc.assert(
    fc.property(table, table, (wanted, actual) => {
      const { put, remove } = routeChanges(wanted, actual);
      const after = new Map(actual.map((there): [string, PodRoute] => [there.podCidr, there]));
      for (const { podCidr } of remove) after.delete(podCidr);
      for (const one of put) after.set(one.podCidr, one);
      const sorted = (routes: Iterable<PodRoute>) => [...routes].toSorted((a, b) => (a.podCidr < b.podCidr ? -1 : 1));
      expect(sorted(after.values())).toEqual(sorted(wanted));
      expect(routeChanges(wanted, sorted(after.values()))).toEqual({ put: [], remove: [] });
    }),
  );
});
