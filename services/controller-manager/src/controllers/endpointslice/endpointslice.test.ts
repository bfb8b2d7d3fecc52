import type { Endpoints, Pod, Service } from "@pilothouse/api/types/core-v1";
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { resources } from "@pilothouse/client";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { controllerWorld, type ControllerWorld } from "../../world.fixture.ts";
import { plan as planEndpoints } from "../endpoints/plan.ts";
import { startEndpointsController } from "../endpoints/reconcile.ts";
import { plan } from "./plan.ts";
import { startEndpointSliceController } from "./reconcile.ts";
import { stamped, TRIGGER_TIME_ANNOTATION, TriggerTimes } from "./trigger-times.ts";

const worlds: ControllerWorld[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close();
});

async function started(): Promise<ControllerWorld> {
  const world = await controllerWorld();
  worlds.push(world);
  startEndpointSliceController(world.ports);
  startEndpointsController(world.ports);
  return world;
}

function service(more: Partial<Service["spec"] & object> = {}): Service {
  return {
    metadata: { name: "web", namespace: "default", uid: "service", labels: { team: "a" } },
    spec: {
      clusterIP: "198.19.0.9",
      selector: { app: "web" },
      ports: [{ name: "http", port: 80, targetPort: 8080 }],
      ...more,
    },
  };
}

function pod(
  name: string,
  ip: string,
  more: { ready?: boolean; leaving?: boolean; phase?: string; spec?: Partial<Pod["spec"]> } = {},
): Pod {
  return {
    metadata: {
      name,
      namespace: "default",
      uid: name,
      labels: { app: "web" },
      ...(more.leaving ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
    spec: { containers: [], nodeName: "n1", ...more.spec },
    status: {
      phase: more.phase ?? "Running",
      podIP: ip,
      conditions: [{ type: "Ready", status: more.ready === false ? "False" : "True" }],
    },
  };
}

const noZone = (): undefined => undefined;
const slices = (world: ControllerWorld): EndpointSlice[] =>
  world.server.list("endpointslices") as unknown as EndpointSlice[];

describe("the endpoint controllers", () => {
  it("follow pods as they become ready and go, in slices and in the old Endpoints", async () => {
    const world = await started();
    await world.client.create(resources.services, service());
    await world.pass(200);
    expect(slices(world)).toHaveLength(1);
    expect(slices(world)[0]).toMatchObject({ addressType: "IPv4", endpoints: [], ports: [] });
    await world.client.create(resources.pods, {
      metadata: { name: "a", namespace: "default", labels: { app: "web" } },
      spec: { containers: [], nodeName: "n1" },
    });
    await world.pass(500);
    const [slice, ...others] = slices(world);
    expect(others).toEqual([]);
    expect(slice?.metadata).toMatchObject({
      generateName: "web-",
      labels: {
        team: "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
      },
      ownerReferences: [{ apiVersion: "v1", kind: "Service", name: "web", controller: true, blockOwnerDeletion: true }],
    });
    expect(slice?.ports).toEqual([{ name: "http", protocol: "TCP", port: 8080 }]);
    expect(slice?.endpoints).toMatchObject([
      {
        conditions: { ready: true, serving: true, terminating: false },
        targetRef: { kind: "Pod", name: "a" },
        nodeName: "n1",
      },
    ]);
    const endpoints = world.server.peek("endpoints", "default/web") as unknown as Endpoints;
    expect(endpoints.subsets).toMatchObject([
      { addresses: [{ targetRef: { name: "a" } }], ports: [{ name: "http", port: 8080 }] },
    ]);
    await world.client.delete(resources.pods, "default", "a", { gracePeriodSeconds: 0 });
    await world.pass(500);
    expect(slices(world)[0]).toMatchObject({ endpoints: [], ports: [] });
    const written = world.server.revision();
    await world.pass(3_000);
    expect(world.server.revision()).toBe(written);
    await world.client.delete(resources.services, "default", "web");
    await world.pass(500);
    expect(world.server.peek("endpoints", "default/web")).toBeUndefined();
    expect(world.failures).toEqual([]);
  });

  it("leave alone what a user keeps for a Service without selector", async () => {
    const world = await started();
    const { selector: _none, ...spec } = service().spec ?? {};
    await world.client.create(resources.services, { ...service(), spec });
    await world.client.create(resources.endpoints, { metadata: { name: "web", namespace: "default" }, subsets: [] });
    const written = world.server.revision();
    await world.pass(500);
    expect(world.server.revision()).toBe(written);
  });
});

describe("the plan of slices", () => {
  it("tells what serves, what goes, and what is only published", () => {
    const pods = [
      pod("ready", "198.18.0.1"),
      pod("unready", "198.18.0.2", { ready: false }),
      pod("leaving", "198.18.0.3", { leaving: true }),
      pod("ended", "198.18.0.4", { phase: "Succeeded" }),
      pod("without address", ""),
    ];
    const conditions = (of: Service) =>
      plan(of, pods, [], noZone).create[0]?.endpoints.map(({ conditions, targetRef }) => [
        targetRef?.name,
        conditions?.ready,
        conditions?.serving,
      ]);
    expect(conditions(service())).toEqual([
      ["ready", true, true],
      ["unready", false, false],
      ["leaving", false, true],
    ]);
    expect(conditions(service({ publishNotReadyAddresses: true }))).toEqual([
      ["ready", true, true],
      ["unready", true, false],
      ["leaving", true, true],
    ]);
    expect(planEndpoints(service(), pods, undefined)?.subsets).toMatchObject([
      { addresses: [{ ip: "198.18.0.1" }], notReadyAddresses: [{ ip: "198.18.0.2" }] },
    ]);
  });

  it("keeps pods apart whose named ports differ", () => {
    const named = (port: number) => ({
      spec: { containers: [{ name: "c", ports: [{ name: "web", containerPort: port }] }], nodeName: "n1" },
    });
    const of = service({ ports: [{ port: 80, targetPort: "web" }] });
    const created = plan(of, [pod("a", "198.18.0.1", named(1)), pod("b", "198.18.0.2", named(2))], [], noZone).create;
    expect(created.map(({ ports }) => ports.map(({ port }) => port))).toEqual([[1], [2]]);
  });

  it("names zone and hostname where there are any, and marks headless Services", () => {
    const headless = service({ clusterIP: "None" });
    const stateful = pod("web-0", "198.18.0.1", { spec: { hostname: "web-0", subdomain: "web" } });
    const [slice] = plan(headless, [stateful], [], (node) => (node === "n1" ? "east" : undefined)).create;
    expect(slice?.endpoints).toMatchObject([{ hostname: "web-0", zone: "east" }]);
    expect(slice?.metadata.labels).toHaveProperty(["service.kubernetes.io/headless"], "");
  });

  it("says for which zone, or node, each endpoint is meant where the Service prefers what is near", () => {
    const zoneOf = (node: string): string | undefined => (node === "n1" ? "east" : undefined);
    const unready = { ready: false };
    const pods = [pod("a", "198.18.0.1"), pod("b", "198.18.0.2", unready)];
    const hints = (trafficDistribution?: string): unknown => {
      const of = service(trafficDistribution === undefined ? {} : { trafficDistribution });
      return plan(of, pods, [], zoneOf).create[0]?.endpoints.map((endpoint) => endpoint.hints);
    };
    expect(hints()).toEqual([undefined, undefined]);
    for (const near of ["PreferClose", "PreferSameZone"])
      expect(hints(near)).toEqual([{ forZones: [{ name: "east" }] }, undefined]);
    expect(hints("PreferSameNode")).toEqual([{ forNodes: [{ name: "n1" }], forZones: [{ name: "east" }] }, undefined]);
    const nowhere = plan(service({ trafficDistribution: "PreferClose" }), pods, [], () => undefined).create[0];
    expect(nowhere?.endpoints.map((endpoint) => endpoint.hints)).toEqual([undefined, undefined]);
  });

  it("holds each backend exactly once, at most 100 a slice, and has nothing more to do when it was carried out", () => {
    const names = fc.uniqueArray(fc.nat(400), { maxLength: 350 });
    fc.assert(
      fc.property(fc.array(names, { minLength: 1, maxLength: 4 }), (rounds) => {
        let present: EndpointSlice[] = [];
        let count = 0;
        for (const round of rounds) {
          const pods = round.map((n) => pod(`p${n}`, `198.18.${n >> 8}.${n & 255}`));
          const step = plan(service(), pods, present, noZone);
          const removed = new Set(step.delete.map(({ metadata }) => metadata.name));
          const updated = new Map(step.update.map((slice) => [slice.metadata.name, slice]));
          const created = step.create.map((slice) => ({
            ...slice,
            metadata: { ...slice.metadata, name: `s${count++}` },
          }));
          present = [
            ...present
              .filter(({ metadata }) => !removed.has(metadata.name))
              .map((slice) => updated.get(slice.metadata.name) ?? slice),
            ...created,
          ];
          const held = present.flatMap(({ endpoints }) => endpoints.map(({ targetRef }) => targetRef?.name));
          expect(held).toHaveLength(pods.length);
          expect(new Set(held)).toEqual(new Set(pods.map(({ metadata }) => metadata.name)));
          expect(Math.max(...present.map(({ endpoints }) => endpoints.length))).toBeLessThanOrEqual(100);
          expect(plan(service(), pods, present, noZone)).toEqual({ create: [], update: [], delete: [] });
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("since when a slice is due for a change", () => {
  const readySince = (name: string, lastTransitionTime: string): Pod => {
    const one = pod(name, "198.18.0.1");
    return { ...one, status: { ...one.status, conditions: [{ type: "Ready", status: "True", lastTransitionTime }] } };
  };
  const made = { ...service(), metadata: { ...service().metadata, creationTimestamp: "2026-01-01T00:00:05Z" } };

  it("is the earliest time that was not known at the last look", () => {
    const times = new TriggerTimes();
    const [a, b] = [readySince("a", "2026-01-01T00:00:01Z"), readySince("b", "2026-01-01T00:00:03Z")];
    const later = [readySince("a", "2026-01-01T00:00:09Z"), readySince("b", "2026-01-01T00:00:07Z")];
    const looks = [[], [a, b], [a, b], later, [later[0] as Pod], later];
    expect(looks.map((pods) => times.next("default/web", made, pods))).toEqual([
      "2026-01-01T00:00:05Z",
      "2026-01-01T00:00:01Z",
      undefined,
      "2026-01-01T00:00:07Z",
      undefined,
      "2026-01-01T00:00:07Z",
    ]);
    times.forget("default/web");
    expect(times.next("default/web", made, [])).toBe("2026-01-01T00:00:05Z");
  });

  it("is told on what is written, and not kept from another write", () => {
    const slice: EndpointSlice = { metadata: { name: "web-1" }, addressType: "IPv4", endpoints: [], ports: [] };
    const told = stamped(slice, "2026-01-01T00:00:05Z");
    expect(told.metadata.annotations).toEqual({ [TRIGGER_TIME_ANNOTATION]: "2026-01-01T00:00:05Z" });
    expect(stamped(told, undefined).metadata.annotations).toEqual({});
  });

  it("is on the slices of a Service whose pods come", async () => {
    const world = await started();
    const { metadata } = await world.client.create(resources.services, service());
    await world.pass(300);
    expect(slices(world)[0]?.metadata.annotations).toEqual({ [TRIGGER_TIME_ANNOTATION]: metadata.creationTimestamp });
  });
});
