import type { Service } from "@pilothouse/api/types/core-v1";
import type { Endpoint, EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { systemClock, systemTimeAndChance } from "@pilothouse/clock/system";
import { Scope } from "@pilothouse/lifecycle";
import type { PacketFilter } from "@pilothouse/packet-filter";
import { nftPacketFilter } from "@pilothouse/packet-filter-nft";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectNoLeaks, makeTestDirectory, removeTestDirectory, until } from "../../../test/harness/index.ts";
import { nodeNetwork } from "./adapters/node-network.ts";
import { Program } from "./flows/program.ts";
import { BRIDGE, makeNetwork, NODE_IP, OUTSIDE_IP, POD_IPS, type TestNetwork } from "./network.fixture.ts";

const OPTIONS = {
  table: "pilothouse",
  nodeName: "node",
  podRange: "198.18.0.0/16",
  serviceRange: "198.19.0.0/16",
  clusterDns: "198.19.0.10",
  bridge: BRIDGE,
} as const;
const WEB = "198.19.1.1";

let directory: string;
let network: TestNetwork;
let filter: PacketFilter;
let program: Program;
const failures: string[] = [];
const scope = new Scope("test", (task, error) => failures.push(`${task}: ${String(error)}`));

beforeAll(async () => {
  directory = await makeTestDirectory();
  network = await makeNetwork(directory);
  filter = nftPacketFilter({ prefix: network.prefix });
  expect(await nodeNetwork({ prefix: network.prefix }).prepare(OPTIONS)).toEqual([]);
  program = startProgram();
  await settled();
});

afterAll(async () => {
  await scope.close();
  await network?.stop();
  await removeTestDirectory(directory);
  expect(failures).toEqual([]);
  await expectNoLeaks();
});

/** As a proxy process that starts, with what it was told before its first transaction. */
function startProgram(tell: (started: Program) => void = () => undefined): Program {
  const telemetry = memoryTelemetry(systemTimeAndChance);
  const ports = { filter, network: nodeNetwork({ prefix: network.prefix }), clock: systemClock, telemetry };
  const started = new Program(ports, OPTIONS);
  tell(started);
  scope.run("program", (signal) => started.run(signal));
  return started;
}

/** Until all that was told is in the kernel. */
async function settled(): Promise<void> {
  await until("the rules are in the kernel", () => program.upToDate());
}

function webService(spec: Partial<Service["spec"]> = {}): Service {
  return {
    metadata: { namespace: "default", name: "web" },
    spec: {
      type: "ClusterIP",
      clusterIP: WEB,
      ports: [
        { name: "tcp", port: 80, nodePort: 30080 },
        { name: "udp", port: 53, protocol: "UDP" },
      ],
      ...spec,
    },
  };
}

function webSlice(pods: readonly number[]): EndpointSlice {
  return {
    metadata: { namespace: "default", name: "web-1", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [
      { name: "tcp", port: 8080, protocol: "TCP" },
      { name: "udp", port: 8080, protocol: "UDP" },
    ],
    endpoints: pods.map((n): Endpoint => ({ addresses: [POD_IPS[n] as string], nodeName: "node" })),
  };
}

async function setWeb(pods: readonly number[], spec: Partial<Service["spec"]> = {}): Promise<void> {
  program.serviceChanged("updated", webService(spec), undefined);
  program.sliceChanged("updated", webSlice(pods), undefined);
  await settled();
}

function servers(answers: readonly string[]): string[] {
  return [...new Set(answers.map((answer) => answer.split(" ")[0] as string))].sort((a, b) => (a < b ? -1 : 1));
}

function clients(answers: readonly string[]): string[] {
  return [...new Set(answers.map((answer) => answer.split(" ")[1] as string))];
}

describe("a Service", () => {
  test("balances over its endpoints, from a pod on the same bridge with its own address", async () => {
    await setWeb([1, 2]);
    const answers = await network.ask("pod0", WEB, 80, 30);
    expect(servers(answers)).toEqual(["pod1", "pod2"]);
    expect(clients(answers)).toEqual([POD_IPS[0]]);
  });

  test("is reached from the node itself", async () => {
    await setWeb([0, 1, 2]);
    expect(servers(await network.ask("node", WEB, 80, 40))).toEqual(["pod0", "pod1", "pod2"]);
  });

  test("is reached by a pod that is its only endpoint", async () => {
    await setWeb([0]);
    expect(servers(await network.ask("pod0", WEB, 80, 3))).toEqual(["pod0"]);
    expect(servers(await network.askUdp("pod0", WEB, 53, 1))).toEqual(["pod0"]);
  });

  test("is reached by its node port from outside, from a pod and from the node", async () => {
    await setWeb([1, 2]);
    expect(servers(await network.ask("outside", NODE_IP, 30080, 30))).toEqual(["pod1", "pod2"]);
    expect(servers(await network.ask("pod0", NODE_IP, 30080, 30))).toEqual(["pod1", "pod2"]);
    expect(servers(await network.ask("node", NODE_IP, 30080, 30))).toEqual(["pod1", "pod2"]);
  });

  test("shows the client's address with externalTrafficPolicy Local, and hides it otherwise", async () => {
    await setWeb([1], { externalTrafficPolicy: "Local" });
    expect(clients(await network.ask("outside", NODE_IP, 30080))).toEqual([OUTSIDE_IP]);
    await setWeb([1]);
    expect(clients(await network.ask("outside", NODE_IP, 30080))).toEqual(["198.18.0.1"]);
  });

  test("refuses at once without endpoints, as does a port that it has not", async () => {
    await setWeb([]);
    const startMs = systemClock.monotonicMs();
    for (const from of ["pod0", "node"] as const) {
      expect(await network.ask(from, WEB, 80)).toEqual(["ECONNREFUSED"]);
      expect(await network.ask(from, WEB, 81)).toEqual(["ECONNREFUSED"]);
      expect(await network.ask(from, "198.19.77.77", 80)).toEqual(["ECONNREFUSED"]);
    }
    expect(await network.ask("outside", NODE_IP, 30080)).toEqual(["ECONNREFUSED"]);
    expect(["ECONNREFUSED", "EPERM"]).toContain((await network.askUdp("node", WEB, 53))[0]);
    expect(await network.askUdp("pod0", WEB, 53)).toEqual(["ECONNREFUSED"]);
    expect(systemClock.monotonicMs() - startMs).toBeLessThan(5_000);
  });

  test("sends nobody to an endpoint that went, not even a UDP client that was there", async () => {
    await setWeb([1]);
    expect(servers(await network.askUdp("pod0", WEB, 53, 2, 40_001))).toEqual(["pod1"]);
    await setWeb([2]);
    expect(servers(await network.askUdp("pod0", WEB, 53, 2, 40_001))).toEqual(["pod2"]);
    expect(servers(await network.ask("pod0", WEB, 80, 10))).toEqual(["pod2"]);
  });

  test("keeps a client with its endpoint when asked to", async () => {
    await setWeb([0, 1, 2], { sessionAffinity: "ClientIP" });
    const first = servers(await network.ask("node", WEB, 80, 20));
    expect(first).toHaveLength(1);
    await setWeb([0, 1, 2], { sessionAffinity: "ClientIP", ports: webService().spec.ports?.slice(0, 1) ?? [] });
    expect(servers(await network.ask("node", WEB, 80, 20))).toEqual(first);
    await setWeb([0, 1, 2]);
    expect(servers(await network.ask("node", WEB, 80, 40))).toHaveLength(3);
  });

  test("is not missed for a moment while endpoints come and go", async () => {
    await setWeb([0, 1, 2]);
    const asking = network.ask("node", WEB, 80, 300);
    for (const pods of [[0], [0, 1], [1], [1, 2], [2], [0, 1, 2], [1]]) await setWeb(pods);
    expect(servers(await asking).filter((server) => !server.startsWith("pod"))).toEqual([]);
  });
});

test("what listens on the address of the cluster's DNS is reached from pods and the node, on port 53 only", async () => {
  network.serve("node", "dns", OPTIONS.clusterDns, 53);
  network.serve("node", "other", "0.0.0.0", 10_250);
  await until("the servers answer", async () => {
    const answers = [await network.ask("node", NODE_IP, 10_250), await network.ask("node", OPTIONS.clusterDns, 53)];
    return answers.flat().every((answer) => !answer.startsWith("E"));
  });
  expect(await network.askUdp("pod0", OPTIONS.clusterDns, 53)).toEqual([`dns ${POD_IPS[0]}`]);
  expect(await network.ask("pod0", OPTIONS.clusterDns, 53)).toEqual([`dns ${POD_IPS[0]}`]);
  expect(servers(await network.askUdp("node", OPTIONS.clusterDns, 53))).toEqual(["dns"]);
  expect(await network.ask("pod0", OPTIONS.clusterDns, 10_250)).toEqual(["ECONNREFUSED"]);
});

test("a proxy that starts again replaces what the last one left, without a moment of no rules", async () => {
  await setWeb([1, 2]);
  const before = (await filter.list({ family: "ip", name: OPTIONS.table })).length;
  const asking = network.ask("pod0", WEB, 80, 300);
  for (let start = 0; start < 5; start++) {
    program = startProgram((started) => {
      started.serviceChanged("added", webService(), undefined);
      started.sliceChanged("added", webSlice([1, 2]), undefined);
    });
    await settled();
  }
  expect(servers(await asking)).toEqual(["pod1", "pod2"]);
  expect((await filter.list({ family: "ip", name: OPTIONS.table })).length).toBe(before);
});

test("a table that somebody else deleted comes back with the next change", async () => {
  await setWeb([1, 2]);
  await filter.apply([{ delete: { table: { family: "ip", name: OPTIONS.table } } }]);
  program.serviceChanged("updated", webService({ externalIPs: ["203.0.113.80"] }), undefined);
  await settled();
  expect(servers(await network.ask("pod0", WEB, 80, 30))).toEqual(["pod1", "pod2"]);
});

describe("nothing leaves by the uplink", () => {
  const strays = ["198.18.77.7", "198.19.77.7", WEB] as const;
  const askAll = async (): Promise<void> => {
    for (const stray of strays)
      await Promise.all((["pod0", "node"] as const).map((from) => network.askUdp(from, stray, 80)));
  };

  test("for pods that are not there and Services that are not there, with the rules and without", async () => {
    await setWeb([]);
    await Promise.all(strays.map((stray) => network.ask("node", stray, 80)));
    await askAll();
    await filter.apply([{ delete: { table: { family: "ip", name: OPTIONS.table } } }]);
    await askAll();
    expect(network.escaped()).toBe(0);
  });

  test("but would without the routes", async () => {
    for (const range of [OPTIONS.podRange, OPTIONS.serviceRange]) network.ip("route", "flush", "root", range);
    await network.askUdp("node", WEB, 80);
    expect(network.escaped()).toBeGreaterThan(0);
  });
});
