import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { missingNodes, plan, QUARANTINE_MS } from "./plan.ts";
import { startPodGcController } from "./reconcile.ts";

const opened: Cluster[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function started(terminatedThreshold?: number): Promise<Cluster> {
  const world = await cluster("pod-gc");
  opened.push(world);
  await world.client.create(resources.serviceAccounts, { metadata: { name: "default", namespace: "default" } });
  await world.client.create(resources.nodes, { metadata: { name: "here" }, spec: {} });
  await world.pass(200);
  startPodGcController(world.ports, terminatedThreshold);
  return world;
}

async function make(world: Cluster, name: string, nodeName: string, phase: string): Promise<void> {
  const metadata = { name, namespace: "default" };
  const spec = { containers: [{ name: "c", image: "web" }], ...(nodeName === "" ? {} : { nodeName }) };
  const pod = await world.client.create(resources.pods, { metadata, spec });
  await world.client.update(resources.pods, { ...pod, status: { phase } }, { subresource: "status" });
}

const names = async (world: Cluster): Promise<string[]> =>
  (await world.all(resources.pods)).map(({ metadata }) => metadata.name ?? "");

describe("the pod garbage collector", () => {
  it("deletes pods of a node that is no more, after a while, and says why", async () => {
    const world = await started();
    await make(world, "lost", "gone", "Running");
    await make(world, "well", "here", "Running");
    await world.pass(35_000);
    expect(await names(world)).toEqual(["lost", "well"]);
    const before = world.writes.length;
    await world.pass(30_000);
    expect(await names(world)).toEqual(["well"]);
    expect(world.writes.slice(before)).toEqual([
      "PUT /api/v1/namespaces/default/pods/lost/status",
      "DELETE /api/v1/namespaces/default/pods/lost",
    ]);
    expect(world.failures).toEqual([]);
  });

  it("believes the API, not the cache: a node that only the feed does not show keeps its pods", async () => {
    const world = await started();
    world.frozen.add("nodes");
    await world.client.create(resources.nodes, { metadata: { name: "new" }, spec: {} });
    await make(world, "web", "new", "Running");
    await world.pass(120_000);
    expect(await names(world)).toEqual(["web"]);
  });

  it("ends the waiting for what never had a node", async () => {
    const world = await started();
    const metadata = { name: "stuck", namespace: "default", finalizers: ["example.com/a"] };
    await world.client.create(resources.pods, { metadata, spec: { containers: [{ name: "c", image: "web" }] } });
    await world.client.delete(resources.pods, "default", "stuck");
    const body = { metadata: { finalizers: null } };
    await world.client.patch(resources.pods, "default", "stuck", { type: "application/merge-patch+json", body });
    await world.pass(25_000);
    expect(await names(world)).toEqual([]);
  });

  it("ends what was told to go from a node that is switched off, and only once its taint says so", async () => {
    const world = await started();
    await make(world, "told", "here", "Running");
    await make(world, "untold", "here", "Running");
    const node = await world.client.get(resources.nodes, "", "here");
    const status = { conditions: [{ type: "Ready", status: "Unknown" }] };
    await world.client.update(resources.nodes, { ...node, status }, { subresource: "status" });
    await world.client.delete(resources.pods, "default", "told");
    await world.pass(45_000);
    expect(await names(world)).toEqual(["told", "untold"]);
    const taints = [{ key: "node.kubernetes.io/out-of-service", value: "nodeshutdown", effect: "NoExecute" }];
    const body = { spec: { taints } };
    await world.client.patch(resources.nodes, "", "here", { type: "application/merge-patch+json", body });
    await world.pass(25_000);
    expect(await names(world)).toEqual(["untold"]);
    expect(world.failures).toEqual([]);
  });

  it("keeps only so many ended pods, the youngest", async () => {
    const world = await started(2);
    for (const [name, phase] of [
      ["a", "Succeeded"],
      ["b", "Failed"],
      ["c", "Succeeded"],
      ["d", "Running"],
    ] as const) {
      await make(world, name, "here", phase);
      await world.pass(2_000);
    }
    await world.pass(25_000);
    expect(await names(world)).toEqual(["b", "c", "d"]);
  });
});

describe("the plan", () => {
  const pod = (name: string, nodeName: string, more: Partial<Pod> = {}): Pod => ({
    metadata: { name },
    spec: { containers: [], nodeName },
    ...more,
  });

  it("gives each missing node its time, and forgets those that appear", () => {
    const pods = [pod("a", "x"), pod("b", "y")];
    const first = missingNodes({ pods, nodes: [], missingSinceMs: new Map() }, 1_000);
    expect([...first]).toEqual([
      ["x", 1_000],
      ["y", 1_000],
    ]);
    const nodes = [{ metadata: { name: "x" }, spec: {} }];
    expect([...missingNodes({ pods, nodes, missingSinceMs: first }, 2_000)]).toEqual([["y", 1_000]]);
  });

  it("touches no pod of a node that is shown and no living pod", () => {
    const property = fc.property(
      fc.array(fc.record({ node: fc.constantFrom("", "here", "gone"), phase: fc.constantFrom("Running", "Failed") })),
      fc.nat(3),
      fc.nat(2 * QUARANTINE_MS),
      (rows, terminatedThreshold, nowMs) => {
        const pods = rows.map(({ node, phase }, at) => pod(`${at}`, node, { status: { phase } }));
        const nodes = [{ metadata: { name: "here" }, spec: {} }];
        const missingSinceMs = missingNodes({ pods, nodes, missingSinceMs: new Map([["gone", 0]]) }, nowMs);
        for (const action of plan({ pods, nodes, missingSinceMs, terminatedThreshold }, nowMs))
          if (action.do === "end for its node") expect.unreachable();
          else if (action.do === "check node")
            expect([action.nodeName, nowMs >= QUARANTINE_MS]).toEqual(["gone", true]);
          else expect(action.pod.status?.phase).toBe("Failed");
      },
    );
    fc.assert(property);
  });
});
