import type { Service } from "@pilothouse/api/types/core-v1";
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { manualClock } from "@pilothouse/clock/manual";
import { seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { PacketFilterRefused, type NftCommand, type PacketFilter } from "@pilothouse/packet-filter";
import { memoryPacketFilter } from "@pilothouse/packet-filter/memory";
import { memoryTelemetry, type MemoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { UdpFlow } from "../core/ruleset.ts";
import { Program } from "./program.ts";

const TABLE = { family: "ip", name: "pilothouse" } as const;
const TRACE = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", sampled: true } as const;

const clock = manualClock();
let scope: Scope;
let telemetry: MemoryTelemetry;
let filter: PacketFilter;
let applied: (readonly NftCommand[])[];
let forgotten: UdpFlow[];
let program: Program;

beforeEach(() => {
  scope = new Scope("test", (_task, error) => expect.unreachable(String(error)));
  telemetry = memoryTelemetry({ clock, random: seededRandom("program") });
  const memory = memoryPacketFilter();
  applied = [];
  forgotten = [];
  filter = { ...memory, apply: (commands) => memory.apply(commands).then(() => void applied.push(commands)) };
  const network = {
    prepare: () => Promise.resolve([]),
    forgetUdp: (flows: readonly UdpFlow[]) => Promise.resolve(void forgotten.push(...flows)),
  };
  program = new Program(
    { filter: { ...memory, apply: (commands) => filter.apply(commands) }, network, clock, telemetry },
    {
      table: TABLE.name,
      nodeName: "node",
      podRange: "198.18.0.0/16",
      serviceRange: "198.19.0.0/16",
      clusterDns: undefined,
      bridge: "br0",
    },
  );
});
afterEach(() => scope.close());

function service(name: string, address: string): Service {
  return {
    metadata: { namespace: "default", name },
    spec: { clusterIP: address, ports: [{ port: 53, protocol: "UDP" }] },
  };
}

function slice(name: string, ...addresses: string[]): EndpointSlice {
  return {
    metadata: { namespace: "default", name, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: [{ port: 53, protocol: "UDP" }],
    endpoints: addresses.map((address) => ({ addresses: [address] })),
  };
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 100 && !program.upToDate(); turn++) await clock.turn();
  expect(program.problem()).toBeUndefined();
}

async function elements(map: string): Promise<number> {
  const objects = await filter.list(TABLE);
  const found = objects
    .map((object) => object["map"] as { name: string; elem?: unknown[] })
    .find((it) => it?.name === map);
  return found?.elem?.length ?? 0;
}

test("what came before the start is one transaction, and what comes in one turn is another", async () => {
  program.serviceChanged("added", service("a", "198.19.0.1"), undefined);
  program.sliceChanged("added", slice("a", "198.18.0.2"), undefined);
  expect(program.problem()).toBe("the rules are not in the kernel yet");
  scope.run("program", (signal) => program.run(signal));
  await settled();
  expect(applied).toHaveLength(1);
  program.serviceChanged("added", service("b", "198.19.0.2"), TRACE);
  program.sliceChanged("added", slice("b", "198.18.0.3", "198.18.0.4"), undefined);
  await settled();
  expect(applied).toHaveLength(2);
  expect(await elements("service-ips")).toBe(2);
  const last = telemetry.spans.at(-1);
  expect(last).toMatchObject({ name: "program", parent: TRACE });
});

test("a change that changes no rule asks nothing of the kernel", async () => {
  scope.run("program", (signal) => program.run(signal));
  program.serviceChanged("added", service("a", "198.19.0.1"), undefined);
  await settled();
  const before = applied.length;
  program.serviceChanged("updated", service("a", "198.19.0.1"), undefined);
  await settled();
  expect(applied).toHaveLength(before);
});

test("UDP connections to an endpoint that went are forgotten", async () => {
  scope.run("program", (signal) => program.run(signal));
  program.serviceChanged("added", service("a", "198.19.0.1"), undefined);
  program.sliceChanged("added", slice("a", "198.18.0.2", "198.18.0.3"), undefined);
  await settled();
  program.sliceChanged("updated", slice("a", "198.18.0.3"), undefined);
  await settled();
  expect(forgotten).toEqual([{ address: "198.19.0.1", port: 53, endpoint: "198.18.0.2" }]);
});

test("a refusal is told and followed by the whole table, and then by small changes again", async () => {
  scope.run("program", (signal) => program.run(signal));
  program.serviceChanged("added", service("a", "198.19.0.1"), undefined);
  program.sliceChanged("added", slice("a", "198.18.0.2"), undefined);
  await settled();
  await filter.apply([{ delete: { table: TABLE } }]);
  program.sliceChanged("updated", slice("a", "198.18.0.2", "198.18.0.3"), undefined);
  for (let turn = 0; turn < 20; turn++) await clock.turn();
  expect(program.problem()).toContain("No such file or directory");
  await clock.advance(1_000);
  await settled();
  expect(await elements("endpoint-addresses")).toBe(2);
  program.sliceChanged("deleted", slice("a"), undefined);
  await settled();
  expect(await elements("service-ips")).toBe(0);
});

test("an aborted program ends although the kernel refuses", async () => {
  filter = { ...filter, apply: () => Promise.reject(new PacketFilterRefused("no")) };
  scope.run("program", (signal) => program.run(signal));
  for (let turn = 0; turn < 20; turn++) await clock.turn();
  expect(program.problem()).toBe("no");
  await scope.close();
});
