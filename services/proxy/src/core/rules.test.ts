import { memoryPacketFilter } from "@pilothouse/packet-filter/memory";
import type { PacketFilter } from "@pilothouse/packet-filter";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rules } from "./diff.ts";
import type { ServicePortModel } from "./model.ts";
import type { RulesetOptions } from "./ruleset.ts";
import { readTable, tracePacket, type Outcome, type Packet } from "./trace-packet.ts";

const OPTIONS = {
  podRange: "198.18.0.0/16",
  serviceRange: "198.19.0.0/16",
  clusterDns: "198.19.0.10",
  bridge: "ph0",
} as const;
const NODE_ADDRESSES = ["198.51.100.1", "198.18.0.1", "198.19.0.10", "127.0.0.1"];
const TABLE = "pilothouse";

function servicePort(fields: Partial<ServicePortModel>, endpoints: readonly string[] = []): ServicePortModel {
  const list = endpoints.map((address) => ({ address, port: 8080, maybeHere: true }));
  return {
    id: `${fields.protocol ?? "tcp"}-${fields.port ?? 80}`,
    protocol: "tcp",
    port: 80,
    clusterIp: "198.19.1.1",
    externalIps: [],
    nodePort: undefined,
    affinitySeconds: undefined,
    internal: list,
    external: list,
    keepsSource: false,
    ...fields,
  };
}

/** A node with its table: what is put is applied as the smallest change. */
class TestNode {
  readonly filter: PacketFilter = memoryPacketFilter();
  readonly rules: Rules;

  constructor(more: Partial<RulesetOptions> = {}) {
    this.rules = new Rules(TABLE, { ...OPTIONS, ...more });
  }

  async start(): Promise<this> {
    await this.filter.apply(this.rules.whole().commands);
    this.rules.applied();
    return this;
  }

  async put(service: string, ...ports: ServicePortModel[]): Promise<number> {
    this.rules.put(service, ports);
    const { commands } = this.rules.change();
    await this.filter.apply(commands);
    this.rules.applied();
    return commands.length;
  }

  /** What happens to the packet for every choice that the rules may make. */
  async outcomes(fields: Partial<Packet>, known?: ReadonlySet<string>): Promise<readonly Outcome[]> {
    const table = readTable(await this.filter.list({ family: "ip", name: TABLE }));
    const packet: Packet = {
      enters: "prerouting",
      source: "198.18.0.50",
      destination: "198.19.1.1",
      protocol: "tcp",
      port: 80,
      nodeAddresses: NODE_ADDRESSES,
      ...fields,
    };
    let choices = 1;
    const outcomes: Outcome[] = [];
    for (let choice = 0; choice < choices; choice++) {
      const pick = (n: number): number => ((choices = Math.max(choices, n)), choice);
      outcomes.push(tracePacket(table, packet, pick, known));
    }
    return outcomes;
  }

  async reached(fields: Partial<Packet>): Promise<readonly string[]> {
    const outcomes = await this.outcomes(fields);
    return outcomes
      .map(({ fate, destination, port }) => (fate === "rejected" ? fate : `${destination}:${port}`))
      .sort(inOrder);
  }
}

function inOrder(a: string, b: string): number {
  return a < b ? -1 : 1;
}

describe("a ClusterIP", () => {
  test("leads to each of its endpoints, and only its own ports do", async () => {
    const node = await new TestNode().start();
    await node.put("default/web", servicePort({}, ["198.18.0.2", "198.18.0.3", "198.18.0.4"]));
    expect(await node.reached({})).toEqual(["198.18.0.2:8080", "198.18.0.3:8080", "198.18.0.4:8080"]);
    expect(await node.reached({ enters: "output", source: "198.51.100.1" })).toHaveLength(3);
    expect(await node.reached({ port: 81 })).toEqual(["rejected"]);
    expect(await node.reached({ protocol: "udp" })).toEqual(["rejected"]);
    expect(await node.reached({ destination: "198.19.200.1" })).toEqual(["rejected"]);
  });

  test("without endpoints is rejected, and answers again as soon as there is one", async () => {
    const node = await new TestNode().start();
    await node.put("default/web", servicePort({}));
    expect(await node.reached({})).toEqual(["rejected"]);
    await node.put("default/web", servicePort({}, ["198.18.0.2"]));
    expect(await node.reached({})).toEqual(["198.18.0.2:8080"]);
    await node.put("default/web");
    expect(await node.reached({})).toEqual(["rejected"]);
  });

  test("keeps the source of a pod, but not of a pod that reaches itself, nor of anything else", async () => {
    const node = await new TestNode().start();
    await node.put("default/web", servicePort({}, ["198.18.0.2"]));
    const [fromPod] = await node.outcomes({});
    const [fromItself] = await node.outcomes({ source: "198.18.0.2" });
    const [fromNode] = await node.outcomes({ enters: "output", source: "198.51.100.1" });
    expect([fromPod, fromItself, fromNode].map((it) => it?.source)).toEqual(["kept", "masqueraded", "masqueraded"]);
  });

  test("of dns is left alone on its port, and closed on every other", async () => {
    const node = await new TestNode().start();
    await node.put("kube-system/kube-dns", servicePort({ clusterIp: "198.19.0.10", port: 53 }, ["198.18.0.2"]));
    expect(await node.reached({ destination: "198.19.0.10", port: 53, protocol: "udp" })).toEqual(["198.19.0.10:53"]);
    expect(await node.reached({ destination: "198.19.0.10", port: 10250 })).toEqual(["rejected"]);
  });
});

describe("from outside", () => {
  const outside = { source: "203.0.113.7", destination: "198.51.100.1", port: 30080 } as const;

  test("a NodePort leads to the endpoints on every address of the node but loopback", async () => {
    const node = await new TestNode().start();
    await node.put("default/web", servicePort({ nodePort: 30080 }, ["198.18.0.2", "198.18.0.3"]));
    expect(await node.reached(outside)).toEqual(["198.18.0.2:8080", "198.18.0.3:8080"]);
    expect(await node.reached({ ...outside, destination: "127.0.0.1" })).toEqual(["127.0.0.1:30080"]);
    expect(await node.reached({ ...outside, destination: "203.0.113.9" })).toEqual(["203.0.113.9:30080"]);
    expect((await node.outcomes(outside)).every(({ source }) => source === "masqueraded")).toBe(true);
  });

  test("a NodePort is on the addresses of the node that its owner names, and closed there without endpoints", async () => {
    const node = await new TestNode({ nodePortAddresses: ["192.0.2.0/24", "198.51.100.0/24"] }).start();
    await node.put("default/web", servicePort({ nodePort: 30080 }, ["198.18.0.2"]));
    expect(await node.reached(outside)).toEqual(["198.18.0.2:8080"]);
    expect(await node.reached({ ...outside, destination: "198.18.0.1" })).toEqual(["198.18.0.1:30080"]);
    await node.put("default/web", servicePort({ nodePort: 30080 }));
    expect(await node.reached(outside)).toEqual(["rejected"]);
    expect(await node.reached({ ...outside, destination: "198.18.0.1" })).toEqual(["198.18.0.1:30080"]);
  });

  test("externalTrafficPolicy Local keeps the client's address and goes to endpoints of this node only", async () => {
    const node = await new TestNode().start();
    const port = servicePort({ nodePort: 30080, keepsSource: true, external: [] }, ["198.18.0.2"]);
    await node.put("default/web", port);
    expect(await node.reached(outside)).toEqual(["rejected"]);
    await node.put("default/web", { ...port, external: port.internal });
    expect((await node.outcomes(outside)).map(({ source, destination }) => [source, destination])).toEqual([
      ["kept", "198.18.0.2"],
    ]);
  });

  test("an external IP leads to the endpoints, and is closed when there are none", async () => {
    const node = await new TestNode().start();
    const toExternal = { ...outside, destination: "203.0.113.80", port: 80 };
    await node.put("default/web", servicePort({ externalIps: ["203.0.113.80"] }, ["198.18.0.2"]));
    expect(await node.reached(toExternal)).toEqual(["198.18.0.2:8080"]);
    await node.put("default/web", servicePort({ externalIps: ["203.0.113.80"] }));
    expect(await node.reached(toExternal)).toEqual(["rejected"]);
  });

  test("an external IP that two Services claim is the first one's by name, and the other's when that goes", async () => {
    const node = await new TestNode().start();
    const port = (clusterIp: string, endpoint: string): ServicePortModel =>
      servicePort({ clusterIp, externalIps: ["203.0.113.80"] }, [endpoint]);
    await node.put("default/b", port("198.19.1.2", "198.18.0.3"));
    await node.put("default/a", port("198.19.1.1", "198.18.0.2"));
    const toExternal = { ...outside, destination: "203.0.113.80", port: 80 };
    expect(await node.reached(toExternal)).toEqual(["198.18.0.2:8080"]);
    await node.put("default/a");
    expect(await node.reached(toExternal)).toEqual(["198.18.0.3:8080"]);
  });
});

test("pods leave for the world with the node's address, and reach each other with their own", async () => {
  const node = await new TestNode().start();
  const [toWorld] = await node.outcomes({ destination: "203.0.113.7", outputInterface: "eth0" });
  const [toPod] = await node.outcomes({ destination: "198.18.3.7", outputInterface: "eth0" });
  expect([toWorld?.source, toPod?.source]).toEqual(["masqueraded", "kept"]);
});

describe("session affinity", () => {
  test("a client stays with its endpoint until that goes", async () => {
    const node = await new TestNode().start();
    const sticky = (...endpoints: string[]): ServicePortModel => servicePort({ affinitySeconds: 60 }, endpoints);
    await node.put("default/web", sticky("198.18.0.2", "198.18.0.3"));
    const first = await node.outcomes({});
    expect(first.map(({ destination }) => destination)).toEqual(["198.18.0.2", "198.18.0.3"]);
    const known = new Set(first[1]?.remembered);
    expect((await node.outcomes({}, known)).map(({ destination }) => destination)).toEqual(["198.18.0.3"]);
    await node.put("default/web", sticky("198.18.0.2", "198.18.0.3", "198.18.0.4"));
    expect((await node.outcomes({}, known)).map(({ destination }) => destination)).toEqual(["198.18.0.3"]);
    await node.put("default/web", sticky("198.18.0.2", "198.18.0.4"));
    expect(await node.outcomes({}, known)).toHaveLength(2);
  });

  test("can be switched on, given another time, and switched off", async () => {
    const node = await new TestNode().start();
    for (const affinitySeconds of [undefined, 60, 10_800, undefined]) {
      await node.put("default/web", servicePort({ affinitySeconds }, ["198.18.0.2", "198.18.0.3"]));
      expect(await node.reached({})).toEqual(["198.18.0.2:8080", "198.18.0.3:8080"]);
    }
  });
});

describe("the smallest change", () => {
  test("one endpoint less of many is a few commands; the same again is none", async () => {
    const node = await new TestNode().start();
    const addresses = Array.from({ length: 100 }, (_, n) => `198.18.1.${n}`);
    await node.put("default/web", servicePort({}, addresses));
    expect(await node.put("default/web", servicePort({}, addresses))).toBe(0);
    await node.put("default/web", servicePort({}, addresses.slice(1)));
    node.rules.put("default/web", [servicePort({}, addresses.slice(2))]);
    const { commands } = node.rules.change();
    const touched = commands.flatMap((command) => {
      const [object] = Object.values(command) as { element?: { elem: unknown[] } }[];
      return object?.element?.elem ?? [];
    });
    // Verdict, and address and port of the slot that was left and of the one that took its place; and the hairpin.
    expect(touched.length).toBeLessThanOrEqual(12);
  });

  test("UDP endpoints that go are to be forgotten, others not", async () => {
    const node = await new TestNode().start();
    await node.put("default/dns", servicePort({ protocol: "udp", port: 53 }, ["198.18.0.2", "198.18.0.3"]));
    node.rules.put("default/dns", [servicePort({ protocol: "udp", port: 53 }, ["198.18.0.3", "198.18.0.4"])]);
    expect(node.rules.change().forget).toEqual([{ address: "198.19.1.1", port: 53, endpoint: "198.18.0.2" }]);
  });
});

test("after any changes: each endpoint is reached, nothing else is, no mark of ours is left, and a fresh table is the same", async () => {
  const service = fc.record({
    name: fc.constantFrom("a", "b", "c"),
    endpoints: fc.uniqueArray(fc.integer({ min: 2, max: 9 }), { maxLength: 5 }),
    affinitySeconds: fc.constantFrom(undefined, undefined, 60),
    nodePort: fc.constantFrom(undefined, 30_001, 30_002),
    exists: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(service, { minLength: 1, maxLength: 8 }), async (changes) => {
      const node = await new TestNode().start();
      const latest = new Map<string, ServicePortModel>();
      for (const { name, endpoints, exists, ...fields } of changes) {
        const clusterIp = `198.19.1.${name.codePointAt(0)}`;
        const port = servicePort(
          { ...fields, clusterIp },
          endpoints.map((n) => `198.18.0.${n}`),
        );
        if (exists) latest.set(name, port);
        else latest.delete(name);
        await node.put(`default/${name}`, ...(exists ? [port] : []));
      }
      for (const name of ["a", "b", "c"]) {
        const expected = (latest.get(name)?.internal ?? [])
          .map(({ address, port }) => `${address}:${port}`)
          .sort(inOrder);
        const to = { destination: `198.19.1.${name.codePointAt(0)}` };
        expect(await node.reached(to)).toEqual(expected.length > 0 ? expected : ["rejected"]);
        expect((await node.outcomes(to)).every(({ mark }) => mark === 0)).toBe(true);
      }
      expect(await node.reached({ destination: "198.19.9.9" })).toEqual(["rejected"]);
      expect(await sorted(node.filter)).toEqual(await sorted(await freshTable(node.rules)));
    }),
    { numRuns: 60 },
  );
});

async function freshTable(rules: Rules): Promise<PacketFilter> {
  const filter = memoryPacketFilter();
  await filter.apply(rules.whole().commands);
  return filter;
}

async function sorted(filter: PacketFilter): Promise<string[]> {
  const objects = await filter.list({ family: "ip", name: TABLE });
  return objects
    .map((object) => {
      const [kind, fields] = Object.entries(object)[0] as [string, Record<string, unknown>];
      const elements = ((fields["elem"] ?? []) as unknown[]).map((element) => JSON.stringify(element)).sort(inOrder);
      return JSON.stringify({ [kind]: { ...fields, elem: elements } });
    })
    .sort(inOrder);
}
