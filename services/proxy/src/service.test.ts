import { createApiClient, resources } from "@pilothouse/client";
import { memoryApiserver } from "@pilothouse/client/memory";
import { manualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { memoryPacketFilter } from "@pilothouse/packet-filter/memory";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { expect, test } from "vitest";
import { readTable, tracePacket } from "./core/trace-packet.ts";
import { memoryHealthDoor } from "./flows/memory-health-door.ts";
import { memoryRouteTable } from "./flows/memory-route-table.ts";
import { start } from "./service.ts";

test("routes come before rules, rules after everything was read, and then every change", async () => {
  const clock = manualClock();
  const random = seededRandom("proxy");
  const server = memoryApiserver({ clock, ids: seededIds(random) });
  const client = createApiClient({ transports: [server.transport], userAgent: "test" });
  const scope = new Scope("test", (task, error) => expect.unreachable(`${task}: ${String(error)}`));
  const filter = memoryPacketFilter();
  let failures = 2;
  const network = {
    async prepare() {
      if (failures-- > 0) throw new Error("no ip here");
      return ["something that this kernel lacks"];
    },
    forgetUdp: () => Promise.resolve(),
  };
  const routes = memoryRouteTable("198.51.100.1/24");
  const telemetry = memoryTelemetry({ clock, random });
  const healthDoor = memoryHealthDoor();
  await client.create(resources.services, {
    metadata: { namespace: "default", name: "web" },
    spec: {
      clusterIP: "198.19.1.1",
      ports: [{ port: 80 }],
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      healthCheckNodePort: 30100,
    },
  });

  const proxy = start(
    { client, bus: undefined, clock, random, telemetry, scope, filter, network, routes, healthDoor },
    {
      table: "pilothouse",
      nodeName: "node",
      mode: "auto",
      podRange: "198.18.0.0/16",
      serviceRange: "198.19.0.0/16",
      clusterDns: undefined,
      bridge: "br0",
    },
  );
  await clock.advance(1_500);
  expect(server.requests.filter(({ method }) => method === "GET")).toEqual([]);
  expect(proxy.problems()).toEqual(["the rules are not in the kernel yet"]);
  await clock.advance(1_000);
  await clock.advance(10);
  expect(proxy.problems()).toEqual([]);
  expect(telemetry.logs.map(({ message }) => message)).toContain("something that this kernel lacks");

  const reached = async (): Promise<string> => {
    const table = readTable(await filter.list({ family: "ip", name: "pilothouse" }));
    const { fate, destination } = tracePacket(
      table,
      {
        enters: "prerouting",
        source: "198.18.0.9",
        destination: "198.19.1.1",
        protocol: "tcp",
        port: 80,
        nodeAddresses: [],
      },
      () => 0,
    );
    return fate === "passed" ? destination : fate;
  };
  expect(await reached()).toBe("rejected");
  await client.create(resources.endpointSlices, {
    metadata: { namespace: "default", name: "web-1", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [{ port: 8080 }],
    endpoints: [{ addresses: ["198.18.0.2"], nodeName: "node" }],
  });
  expect(healthDoor.ask(30100)?.status).toBe(503);
  await clock.advance(10);
  expect(await reached()).toBe("198.18.0.2");
  expect(healthDoor.ask(30100)?.status).toBe(200);
  await client.delete(resources.endpointSlices, "default", "web-1");
  await clock.advance(10);
  expect(await reached()).toBe("rejected");
  await scope.close();
  expect(healthDoor.ports).toEqual([]);
});

test("a node that comes is routed to, one that moves is routed elsewhere, one that goes is forgotten", async () => {
  const clock = manualClock();
  const random = seededRandom("routes");
  const server = memoryApiserver({ clock, ids: seededIds(random) });
  const client = createApiClient({ transports: [server.transport], userAgent: "test" });
  const scope = new Scope("test", (task, error) => expect.unreachable(`${task}: ${String(error)}`));
  const routes = memoryRouteTable("198.51.100.1/24");
  const network = { prepare: () => Promise.resolve([]), forgetUdp: () => Promise.resolve() };
  const telemetry = memoryTelemetry({ clock, random });
  const node = (name: string, address: string, podCIDR: string) => ({
    metadata: { name },
    spec: { podCIDR, podCIDRs: [podCIDR] },
    status: { addresses: [{ type: "InternalIP", address }] },
  });
  await client.create(resources.nodes, node("here", "198.51.100.1", "198.18.0.0/24"));
  start(
    {
      client,
      bus: undefined,
      clock,
      random,
      telemetry,
      scope,
      filter: memoryPacketFilter(),
      network,
      routes,
      healthDoor: memoryHealthDoor(),
    },
    {
      table: "pilothouse",
      nodeName: "here",
      mode: "auto",
      podRange: "198.18.0.0/16",
      serviceRange: "198.19.0.0/16",
      clusterDns: undefined,
      bridge: "br0",
    },
  );
  await clock.advance(10);
  expect([...routes.routes.values()]).toEqual([]);

  const came = await client.create(resources.nodes, node("far", "203.0.113.9", "198.18.1.0/24"));
  await clock.advance(10);
  const podCidr = "198.18.1.0/24";
  expect([...routes.routes.values()]).toEqual([{ podCidr, nodeAddress: "203.0.113.9", way: "tunnel" }]);

  const moved = { ...came, status: node("far", "198.51.100.9", podCidr).status };
  await client.update(resources.nodes, moved, { subresource: "status" });
  await clock.advance(10);
  expect([...routes.routes.values()]).toEqual([{ podCidr, nodeAddress: "198.51.100.9", way: "direct" }]);

  routes.routes.clear(); // Somebody flushed the table.
  await clock.advance(61_000);
  await clock.advance(10);
  expect(routes.routes.size).toBe(1);

  await client.delete(resources.nodes, "", "far");
  await clock.advance(10);
  expect([...routes.routes.values()]).toEqual([]);
  await scope.close();
});
