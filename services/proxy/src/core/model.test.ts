import type { Service } from "@pilothouse/api/types/core-v1";
import type { Endpoint, EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ServiceIndex } from "./model.ts";
import { assignSlots } from "./slots.ts";

function service(spec: Partial<Service["spec"]> = {}, name = "web"): Service {
  return {
    metadata: { namespace: "default", name },
    spec: { clusterIP: "198.19.1.1", type: "ClusterIP", ports: [{ name: "http", port: 80 }], ...spec },
  };
}

function slice(name: string, endpoints: Endpoint[], fields: Partial<EndpointSlice> = {}): EndpointSlice {
  return {
    metadata: { namespace: "default", name, labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080 }],
    endpoints,
    ...fields,
  };
}

const ready = (address: string, nodeName = "here"): Endpoint => ({ addresses: [address], nodeName });
const ending = (address: string, serving = true): Endpoint => ({
  addresses: [address],
  nodeName: "here",
  conditions: { ready: false, serving, terminating: true },
});

function endpointsOf(index: ServiceIndex): { internal: string[]; external: string[] } {
  const [port] = index.ports("default/web");
  const names = (list: readonly { address: string; port: number }[] = []): string[] =>
    list.map(({ address, port }) => `${address}:${port}`);
  return { internal: names(port?.internal), external: names(port?.external) };
}

describe("endpoints of a service", () => {
  test("come from all its slices, each once, and go with them", () => {
    const index = new ServiceIndex("here");
    expect(index.setSlice(slice("web-1", [ready("198.18.0.3"), ready("198.18.0.2")]))).toEqual(["default/web"]);
    expect(index.ports("default/web")).toEqual([]);
    index.setService(service());
    index.setSlice(slice("web-2", [ready("198.18.0.2"), ready("198.18.0.4")]));
    expect(endpointsOf(index).internal).toEqual(["198.18.0.2:8080", "198.18.0.3:8080", "198.18.0.4:8080"]);
    index.removeSlice(slice("web-1", []));
    expect(endpointsOf(index).internal).toEqual(["198.18.0.2:8080", "198.18.0.4:8080"]);
  });

  test("that end are used only when nothing is ready, and only while they serve", () => {
    const index = new ServiceIndex("here");
    index.setService(service());
    index.setSlice(slice("web-1", [ending("198.18.0.2"), ready("198.18.0.3")]));
    expect(endpointsOf(index).internal).toEqual(["198.18.0.3:8080"]);
    index.setSlice(slice("web-1", [ending("198.18.0.2"), ending("198.18.0.3", false)]));
    expect(endpointsOf(index).internal).toEqual(["198.18.0.2:8080"]);
  });

  test("are those of this node where a traffic policy says Local", () => {
    const index = new ServiceIndex("here");
    index.setSlice(slice("web-1", [ready("198.18.0.2"), ready("198.18.1.2", "elsewhere")]));
    index.setService(service({ internalTrafficPolicy: "Local" }));
    expect(endpointsOf(index)).toEqual({
      internal: ["198.18.0.2:8080"],
      external: ["198.18.0.2:8080", "198.18.1.2:8080"],
    });
    index.setService(service({ externalTrafficPolicy: "Local" }));
    expect(endpointsOf(index).external).toEqual(["198.18.0.2:8080"]);
  });

  test("are found by the port's name and protocol, and have their own port numbers", () => {
    const index = new ServiceIndex("here");
    index.setService(service({ ports: [{ name: "http", port: 80, targetPort: "web" }] }));
    index.setSlice(slice("web-1", [ready("198.18.0.2")]));
    index.setSlice(slice("web-2", [ready("198.18.0.3")], { ports: [{ name: "http", port: 9090 }] }));
    index.setSlice(slice("web-3", [ready("198.18.0.4")], { ports: [{ name: "other", port: 1 }] }));
    index.setSlice(slice("web-4", [ready("198.18.0.5")], { ports: [{ name: "http", port: 1, protocol: "UDP" }] }));
    expect(endpointsOf(index).internal).toEqual(["198.18.0.2:8080", "198.18.0.3:9090"]);
  });
});

describe("endpoints that are meant for somebody", () => {
  const meant = (address: string, zone: string, ...nodes: string[]): Endpoint => ({
    ...ready(address),
    hints: { forZones: [{ name: zone }], ...(nodes.length > 0 ? { forNodes: nodes.map((name) => ({ name })) } : {}) },
  });
  const place = (zone: string | undefined): ServiceIndex => {
    const index = new ServiceIndex("here");
    index.setService(service());
    index.setZone(zone);
    return index;
  };

  test("are those of the zone, if the zone has any; a zone that changes touches the Service", () => {
    const index = place("east");
    index.setSlice(slice("web-1", [meant("198.18.0.2", "east"), meant("198.18.1.2", "west")]));
    expect(endpointsOf(index)).toEqual({ internal: ["198.18.0.2:8080"], external: ["198.18.0.2:8080"] });
    expect([index.setZone("east"), index.setZone("west")]).toEqual([[], ["default/web"]]);
    expect(endpointsOf(index).internal).toEqual(["198.18.1.2:8080"]);
    for (const zone of ["north", undefined]) {
      index.setZone(zone);
      expect(endpointsOf(index).internal).toHaveLength(2);
    }
  });

  test("are those of the node before those of the zone", () => {
    const index = place("east");
    const [here, near, far] = [
      meant("198.18.0.2", "east", "here"),
      meant("198.18.0.3", "east", "other"),
      meant("198.18.1.2", "west", "another"),
    ];
    index.setSlice(slice("web-1", [here, near, far]));
    expect(endpointsOf(index).internal).toEqual(["198.18.0.2:8080"]);
    index.setSlice(slice("web-1", [near, far]));
    expect(endpointsOf(index).internal).toEqual(["198.18.0.3:8080"]);
    index.setSlice(slice("web-1", [far]));
    expect(endpointsOf(index).internal).toEqual(["198.18.1.2:8080"]);
  });

  test("are all, as long as one that is ready is meant for nobody", () => {
    const index = place("east");
    index.setSlice(slice("web-1", [meant("198.18.0.2", "east"), ready("198.18.1.2")]));
    expect(endpointsOf(index).internal).toHaveLength(2);
    index.setSlice(slice("web-1", [meant("198.18.0.2", "east"), meant("198.18.1.2", "west"), ending("198.18.0.9")]));
    expect(endpointsOf(index).internal).toEqual(["198.18.0.2:8080"]);
  });

  test("do not count where a traffic policy says Local", () => {
    const index = place("east");
    index.setService(service({ internalTrafficPolicy: "Local" }));
    index.setSlice(
      slice("web-1", [meant("198.18.0.2", "west"), { ...meant("198.18.1.2", "east"), nodeName: "there" }]),
    );
    expect(endpointsOf(index).internal).toEqual(["198.18.0.2:8080"]);
  });
});

test("a service that is another proxy's, or nobody's, is left alone", () => {
  const index = new ServiceIndex("here");
  for (const label of ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"]) {
    const { metadata, ...rest } = service();
    index.setService({ ...rest, metadata: { ...metadata, labels: { [label]: "" } } });
    expect(index.ports("default/web")).toEqual([]);
  }
});

test("a load balancer may ask for the endpoints that are ready on this node, each address once", () => {
  const index = new ServiceIndex("here");
  const local = { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 30100 };
  index.setService(service(local));
  expect(index.healthCheck("default/web")).toEqual({ port: 30100, localEndpoints: 0 });
  index.setSlice(slice("web-1", [ready("198.18.0.2"), ready("198.18.1.2", "there"), ending("198.18.0.3")]));
  index.setSlice(slice("web-2", [ready("198.18.0.2")]));
  expect(index.healthCheck("default/web")).toEqual({ port: 30100, localEndpoints: 1 });
  index.setService(service({ ...local, externalTrafficPolicy: "Cluster" }));
  expect([index.healthCheck("default/web"), index.healthCheck("default/other")]).toEqual([undefined, undefined]);
});

test("headless and external names have no rules; a slice that changes its service touches both", () => {
  const index = new ServiceIndex("here");
  index.setService(service({ clusterIP: "None" }));
  expect(index.ports("default/web")).toEqual([]);
  index.setService(service({ type: "ExternalName", externalName: "example.com" }));
  expect(index.ports("default/web")).toEqual([]);
  index.setSlice(slice("web-1", []));
  const moved = slice("web-1", []);
  moved.metadata.labels = { "kubernetes.io/service-name": "shop" };
  expect(index.setSlice(moved)).toEqual(["default/web", "default/shop"]);
});

test("slots: everybody has one, and at most as many move as leave", () => {
  const endpoints = fc
    .uniqueArray(fc.integer({ min: 1, max: 30 }), { maxLength: 20 })
    .map((numbers) => numbers.map((n) => ({ address: `198.18.0.${n}`, port: 80, maybeHere: true })));
  fc.assert(
    fc.property(endpoints, endpoints, (first, now) => {
      const before = assignSlots([], first);
      const after = assignSlots(before, now);
      const names = (list: typeof before): string[] => list.map(({ address }) => address);
      expect(new Set(names(after))).toEqual(new Set(names(now)));
      expect(after).toHaveLength(now.length);
      const left = before.filter(({ address }) => !names(after).includes(address)).length;
      const moved = before.filter(
        ({ address }, slot) => names(after).includes(address) && after[slot]?.address !== address,
      ).length;
      expect(moved).toBeLessThanOrEqual(left);
    }),
  );
});
