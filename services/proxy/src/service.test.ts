import { createApiClient, resources } from "@pilothouse/client";
import { memoryApiserver } from "@pilothouse/client/memory";
import { manualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { memoryPacketFilter } from "@pilothouse/packet-filter/memory";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { expect, test } from "vitest";
import { readTable, tracePacket } from "./core/trace-packet.ts";
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
  const telemetry = memoryTelemetry({ clock, random });
  await client.create(resources.services, {
    metadata: { namespace: "default", name: "web" },
    spec: { clusterIP: "198.19.1.1", ports: [{ port: 80 }] },
  });

  const proxy = start(
    { client, bus: undefined, clock, random, telemetry, scope, filter, network },
    {
      table: "pilothouse",
      nodeName: "node",
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
    endpoints: [{ addresses: ["198.18.0.2"] }],
  });
  await clock.advance(10);
  expect(await reached()).toBe("198.18.0.2");
  await client.delete(resources.endpointSlices, "default", "web-1");
  await clock.advance(10);
  expect(await reached()).toBe("rejected");
  await scope.close();
});
