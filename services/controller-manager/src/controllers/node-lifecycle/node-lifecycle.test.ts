import type { Node, NodeCondition, Pod, Taint, Toleration } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { timestampOf } from "../../core/values.ts";
import { evictionAtMs, plan } from "./plan.ts";
import { startNodeLifecycleController } from "./reconcile.ts";
import { isBeingLeft, paceOf, taintsAfter } from "./rules.ts";

const opened: Cluster[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

const LEASES = "kube-node-lease";

interface Nodes {
  readonly world: Cluster;
  /** Nodes whose kubelets live. */
  readonly alive: Set<string>;
  /** Lets time pass while the living renew their leases. */
  readonly live: (seconds: number) => Promise<void>;
  readonly taints: (name: string) => Promise<string[]>;
}

async function started(...names: string[]): Promise<Nodes> {
  const world = await cluster("nodes");
  opened.push(world);
  for (const name of names) {
    const metadata = { name };
    await world.client.create(resources.nodes, { metadata, spec: {}, status: { conditions: [ready("True")] } });
    await world.client.create(resources.leases, { metadata: { name, namespace: LEASES }, spec: {} });
  }
  await world.client.create(resources.serviceAccounts, { metadata: { name: "default", namespace: "default" } });
  await world.pass(200);
  startNodeLifecycleController(world.ports);
  const alive = new Set(names);
  return {
    world,
    alive,
    async live(seconds) {
      for (let passed = 0; passed < seconds; passed += 5) {
        const renewTime = `${new Date(world.clock.now()).toISOString().slice(0, 23)}000Z`;
        const patch = { type: "application/merge-patch+json", body: { spec: { renewTime } } } as const;
        for (const name of alive) await world.client.patch(resources.leases, LEASES, name, patch);
        await world.pass(5_000);
      }
    },
    async taints(name) {
      const node = await world.find(resources.nodes, "", name);
      return (node?.spec.taints ?? []).map(({ key, effect }) => `${key}:${effect}`);
    },
  };
}

const ready = (status: string): NodeCondition => ({ type: "Ready", status, reason: "r", message: "m" });

async function runPod(world: Cluster, name: string, nodeName: string, tolerationSeconds?: number): Promise<void> {
  const tolerations = ["not-ready", "unreachable"].map((key) => ({
    key: `node.kubernetes.io/${key}`,
    operator: "Exists",
    effect: "NoExecute",
    ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
  }));
  const containers = [{ name: "c", image: "web" }];
  const metadata = { name, namespace: "default" };
  const pod = await world.client.create(resources.pods, { metadata, spec: { containers, nodeName, tolerations } });
  const status = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
  await world.client.update(resources.pods, { ...pod, status }, { subresource: "status" });
}

const pod = (world: Cluster, name: string): Promise<Pod | undefined> => world.find(resources.pods, "default", name);

describe("the node lifecycle controller", () => {
  it("takes the taint of new nodes away when they are ready, then lets them be and writes nothing", async () => {
    const { world, live, taints } = await started("a", "b");
    await live(5);
    expect(await taints("a")).toEqual([]);
    const written = (): string[] => world.writes.filter((write) => !write.endsWith("/events"));
    expect(written()).toEqual(["PATCH /api/v1/nodes/a", "PATCH /api/v1/nodes/b"]);
    await live(120);
    expect(written()).toHaveLength(2);
    expect(world.failures).toEqual([]);
  });

  it("tells of nodes that come into its care and leave it", async () => {
    const { world, live } = await started("a");
    await world.client.delete(resources.nodes, "", "a");
    await live(5);
    expect(await world.all(resources.events, "default")).toMatchObject([
      {
        type: "Normal",
        reason: "RegisteredNode",
        message: "Node a event: Registered Node a in Controller",
        source: { component: "node-controller" },
        involvedObject: { apiVersion: "v1", kind: "Node", name: "a" },
      },
      { type: "Normal", reason: "RemovingNode", message: "Node a event: Removing Node a from Controller" },
    ]);
  });

  it("notices a silent node after 50 s, taints it, and calls its pods not ready", async () => {
    const { world, alive, live, taints } = await started("a", "b");
    await runPod(world, "web", "a", 300);
    await live(10);
    alive.delete("a");
    await live(40);
    expect(await taints("a")).toEqual([]);
    await live(20);
    const node = await world.find(resources.nodes, "", "a");
    expect(node?.status?.conditions?.[0]).toMatchObject({
      type: "Ready",
      status: "Unknown",
      reason: "NodeStatusUnknown",
      message: "Kubelet stopped posting node status.",
    });
    expect(node?.status?.conditions?.map(({ type }) => type)).toEqual([
      "Ready",
      "MemoryPressure",
      "DiskPressure",
      "PIDPressure",
    ]);
    expect(await taints("a")).toEqual(
      ["NoSchedule", "NoExecute"].map((effect) => `node.kubernetes.io/unreachable:${effect}`),
    );
    expect((await pod(world, "web"))?.status?.conditions).toMatchObject([{ type: "Ready", status: "False" }]);
    expect(await taints("b")).toEqual([]);
    const told = (await world.all(resources.events)).filter(({ reason }) => reason === "NodeNotReady");
    expect(told.map(({ type, message }) => `${type} ${message}`).sort()).toEqual([
      "Normal Node a status is now: NodeNotReady",
      "Warning Node is not ready",
    ]);
  });

  it("moves pods away when their toleration ends, and leaves those that tolerate for ever", async () => {
    const { world, alive, live } = await started("a", "b");
    await runPod(world, "brief", "a", 30);
    await runPod(world, "daemon", "a");
    await runPod(world, "elsewhere", "b", 30);
    alive.delete("a");
    await live(65);
    expect((await pod(world, "brief"))?.metadata.deletionTimestamp).toBeUndefined();
    await live(40);
    const brief = await pod(world, "brief");
    expect(brief?.metadata.deletionTimestamp).toBeDefined();
    expect(brief?.status?.conditions).toContainEqual(
      expect.objectContaining({ type: "DisruptionTarget", status: "True", reason: "DeletionByTaintManager" }),
    );
    for (const name of ["daemon", "elsewhere"])
      expect((await pod(world, name))?.metadata.deletionTimestamp).toBeUndefined();
  });

  it("moves nobody when the node comes back in time, and takes its taints away", async () => {
    const { world, alive, live, taints } = await started("a", "b");
    await runPod(world, "web", "a", 60);
    alive.delete("a");
    await live(70);
    expect(await taints("a")).toHaveLength(2);
    alive.add("a");
    const node = (await world.find(resources.nodes, "", "a")) as Node;
    const status = { ...node.status, conditions: [ready("True")] };
    await world.client.update(resources.nodes, { ...node, status }, { subresource: "status" });
    await live(120);
    expect(await taints("a")).toEqual([]);
    expect((await pod(world, "web"))?.metadata.deletionTimestamp).toBeUndefined();
    const told = (await world.all(resources.events)).filter(({ reason }) => reason === "TaintManagerEviction");
    expect(told.map(({ message }) => message)).toEqual(["Cancelling deletion of Pod default/web"]);
  });

  it("moves nobody when no node at all is heard of: it is rather the feed that is broken", async () => {
    const { world, alive, live, taints } = await started("a", "b");
    await runPod(world, "web", "a", 10);
    alive.clear();
    await live(120);
    expect(await taints("a")).toEqual(["node.kubernetes.io/unreachable:NoSchedule"]);
    expect((await pod(world, "web"))?.metadata.deletionTimestamp).toBeUndefined();
  });

  it("gives up one node of a zone every ten seconds, and zones beside each other", async () => {
    const { world, alive, live, taints } = await started("a", "b", "c", "d", "e", "f");
    const body = { metadata: { labels: { "topology.kubernetes.io/zone": "east" } } };
    for (const name of ["d", "e", "f"]) {
      await world.client.patch(resources.nodes, "", name, { type: "application/merge-patch+json", body });
    }
    await live(10);
    for (const name of ["a", "b", "d"]) alive.delete(name);
    const left = async (): Promise<number> => {
      const all = await Promise.all(["a", "b", "d"].map(taints));
      return all.filter((its) => its.includes("node.kubernetes.io/unreachable:NoExecute")).length;
    };
    let seconds = 0;
    while ((await left()) === 0 && seconds < 90) {
      await live(5);
      seconds += 5;
    }
    expect(await left()).toBe(2);
    await live(15);
    expect(await left()).toBe(3);
  });

  it("believes the lease that the API holds, not a feed that stands still", async () => {
    const { world, live, taints } = await started("a", "b");
    world.frozen.add("leases");
    await live(200);
    expect([await taints("a"), await taints("b")]).toEqual([[], []]);
  });

  it("keeps unschedulable nodes tainted as long as they are", async () => {
    const { world, live, taints } = await started("a");
    const cordon = (unschedulable: boolean | null) =>
      world.client.patch(resources.nodes, "", "a", {
        type: "application/merge-patch+json",
        body: { spec: { unschedulable } },
      });
    await cordon(true);
    await live(5);
    expect(await taints("a")).toEqual(["node.kubernetes.io/unschedulable:NoSchedule"]);
    await cordon(null);
    await live(5);
    expect(await taints("a")).toEqual([]);
  });
});

const NOW_MS = Date.UTC(2026, 0, 1);
const node = (conditions: readonly NodeCondition[], taints: readonly Taint[] = []): Node => ({
  metadata: { name: "n" },
  spec: { taints: [...taints] },
  status: { conditions: [...conditions] },
});

describe("the taint rules", () => {
  it.each<[string, string, string, boolean, string[]]>([
    ["ready", "Ready", "True", true, []],
    ["not ready", "Ready", "False", true, ["not-ready:NoSchedule", "not-ready:NoExecute"]],
    ["not ready, wait", "Ready", "False", false, ["not-ready:NoSchedule"]],
    ["memory", "MemoryPressure", "True", true, ["memory-pressure:NoSchedule"]],
    ["disk", "DiskPressure", "True", true, ["disk-pressure:NoSchedule"]],
    ["pids", "PIDPressure", "True", true, ["pid-pressure:NoSchedule"]],
    ["network", "NetworkUnavailable", "True", true, ["network-unavailable:NoSchedule"]],
    ["pressure unknown", "DiskPressure", "Unknown", true, []],
  ])("%s", (_name, type, status, mayEvict, wanted) => {
    const taints = taintsAfter(node([{ type, status }]), mayEvict, NOW_MS);
    expect(taints.map(({ key, effect }) => `${key}:${effect}`)).toEqual(
      wanted.map((one) => `node.kubernetes.io/${one}`),
    );
    expect(taints.every(({ timeAdded }) => timeAdded === "2026-01-01T00:00:00Z")).toBe(true);
  });

  it("leave users' taints alone, and come to rest", () => {
    const status = fc.constantFrom("True", "False", "Unknown");
    const property = fc.property(fc.array(status, { maxLength: 3 }), fc.boolean(), (statuses, mayEvict) => {
      const types = ["Ready", "MemoryPressure", "DiskPressure"];
      const conditions = statuses.map((value, at) => ({ type: types[at] as string, status: value }));
      const own = { key: "example.com/gpu", effect: "NoExecute" };
      const first = taintsAfter(node(conditions, [own]), mayEvict, NOW_MS);
      expect(first).toContainEqual(own);
      expect(taintsAfter(node(conditions, first), mayEvict, NOW_MS + 1)).toEqual(first);
      expect(taintsAfter(node([{ type: "Ready", status: "True" }], first), mayEvict, NOW_MS)).toEqual([own]);
    });
    fc.assert(property);
  });

  it.each<[number, number, number | undefined]>([
    [1, 1, undefined],
    [3, 1, 10_000],
    [5, 3, undefined],
    [100, 60, 100_000],
    [100, 99, 100_000],
    [100, 100, undefined],
    [4, 2, 10_000],
  ])("%i nodes of which %i are not ready are given up every %s ms", (nodes, unready, intervalMs) => {
    const all = Array.from({ length: nodes }, (_, at) => node([ready(at < unready ? "Unknown" : "True")]));
    expect(paceOf(all[0] as Node, all).intervalMs).toBe(intervalMs);
  });

  it("each zone has a pace of its own, and none where all are down", () => {
    const zone = (name: string, readyOnes: number, silentOnes: number, labels = {}): Node[] =>
      Array.from({ length: readyOnes + silentOnes }, (_, at) => ({
        ...node([ready(at < readyOnes ? "True" : "Unknown")]),
        metadata: { name: `${name}${at}`, labels: { "topology.kubernetes.io/zone": name, ...labels } },
      }));
    const rows: readonly (readonly [readonly Node[], readonly Node[], string, string])[] = [
      [zone("a", 3, 0), zone("b", 0, 3), "normal", "a zone is down"],
      [zone("a", 3, 1), zone("b", 1, 3), "normal", "partial disruption of a small zone"],
      [zone("a", 60, 0), zone("b", 10, 50), "normal", "partial disruption"],
      [zone("a", 0, 1), zone("b", 0, 3), "all zones are down", "all zones are down"],
      [
        zone("a", 2, 0, { "node.kubernetes.io/exclude-disruption": "" }),
        zone("b", 0, 3),
        "all zones are down",
        "all zones are down",
      ],
    ];
    for (const [a, b, ofA, ofB] of rows) {
      const names = [a, b].map(([first]) => paceOf(first as Node, [...a, ...b]).name);
      expect(names).toEqual([ofA, ofB]);
    }
  });
});

describe("the plan", () => {
  const unreachable: Taint = {
    key: "node.kubernetes.io/unreachable",
    effect: "NoExecute",
    timeAdded: timestampOf(NOW_MS),
  };
  const tolerant = (tolerations: Toleration[]): Pod => ({
    metadata: { name: "p" },
    spec: { containers: [], tolerations },
  });
  const forSeconds = (tolerationSeconds: number): Toleration => ({ operator: "Exists", tolerationSeconds });

  it.each<[string, Toleration[], number | undefined]>([
    ["tolerates nothing", [], 5_000],
    ["for ever", [{ operator: "Exists" }], undefined],
    ["for a minute", [forSeconds(60)], 60_000],
    ["for less than nothing", [forSeconds(-1)], 0],
    ["another key", [{ ...forSeconds(60), key: "other" }], 5_000],
    ["another effect", [{ ...forSeconds(60), effect: "NoSchedule" }], 5_000],
  ])("%s", (_name, tolerations, afterMs) => {
    const atMs = evictionAtMs(tolerant(tolerations), [unreachable], NOW_MS + 5_000);
    expect(atMs === undefined ? undefined : atMs - NOW_MS).toBe(afterMs);
    expect(evictionAtMs(tolerant(tolerations), [{ ...unreachable, effect: "NoSchedule" }], NOW_MS)).toBeUndefined();
  });

  it("gives a node that never said anything more time, and other words", () => {
    const silent = { node: node([]), pods: [], mayEvict: false };
    expect(plan({ ...silent, silentMs: 59_000 }, NOW_MS)).toEqual([]);
    expect(plan({ ...silent, silentMs: 61_000 }, NOW_MS)).toMatchObject([
      {
        do: "set conditions",
        conditions: [{ type: "Ready", status: "Unknown", reason: "NodeStatusNeverUpdated" }, {}, {}, {}],
      },
    ]);
  });

  it("evicts nobody from a node that is not being left", () => {
    const property = fc.property(fc.constantFrom("True", "False", "Unknown"), fc.boolean(), (status, mayEvict) => {
      const view = { node: node([ready(status)]), pods: [tolerant([])], silentMs: 0, mayEvict };
      expect(isBeingLeft(view.node)).toBe(false);
      expect(plan(view, NOW_MS).some((action) => action.do === "evict")).toBe(false);
    });
    fc.assert(property);
  });
});
