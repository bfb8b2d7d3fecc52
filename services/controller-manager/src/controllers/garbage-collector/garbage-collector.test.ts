import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import type { OwnerReference } from "@pilothouse/api/types/meta-v1";
import { resources } from "@pilothouse/client";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { graphObject, OwnerGraph } from "./plan-graph.ts";
import { wakes } from "./plan-wakes.ts";
import { plan } from "./plan.ts";
import { startGarbageCollector } from "./reconcile.ts";
import { judge, type OwnerState, type Situation } from "./rules.ts";

const opened: Cluster[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function started(): Promise<Cluster> {
  const world = await cluster("garbage");
  opened.push(world);
  startGarbageCollector(world.ports);
  await world.pass(500);
  return world;
}

type Maps = Record<string, ConfigMap>;

/** ConfigMaps that own each other: "pod" is owned by "set". */
async function make(world: Cluster, owned: Record<string, readonly string[]>, namespace = "default"): Promise<Maps> {
  const made: Maps = {};
  for (const [name, owners] of Object.entries(owned)) {
    const ownerReferences = owners.map((owner) => referenceTo(made[owner] as ConfigMap));
    const metadata = { name, namespace, ...(owners.length === 0 ? {} : { ownerReferences }) };
    made[name] = await world.client.create(resources.configMaps, { metadata });
  }
  return made;
}

function referenceTo({ metadata: { name = "", uid = "" } }: ConfigMap, blockOwnerDeletion = true): OwnerReference {
  return { apiVersion: "v1", kind: "ConfigMap", name, uid, blockOwnerDeletion };
}

const names = async (world: Cluster): Promise<string[]> =>
  (await world.all(resources.configMaps, "default")).map(({ metadata }) => metadata.name ?? "");
const remove = (world: Cluster, name: string, propagationPolicy?: "Foreground" | "Background" | "Orphan") =>
  world.client.delete(resources.configMaps, "default", name, propagationPolicy ? { propagationPolicy } : {});
const hold = (world: Cluster, name: string, finalizers: string[] | null) =>
  world.client.patch(resources.configMaps, "default", name, {
    type: "application/merge-patch+json",
    body: { metadata: { finalizers } },
  });

describe("the garbage collector", () => {
  it("deletes what lost its owner, and what that owned, all the way down", async () => {
    const world = await started();
    await make(world, { deployment: [], set: ["deployment"], pod1: ["set"], pod2: ["set"], other: [] });
    await world.pass(500);
    await remove(world, "deployment");
    await world.pass(1_000);
    expect(await names(world)).toEqual(["other"]);
    expect(world.failures).toEqual([]);
  });

  it("sees every object of a kind of which another controller follows a part", async () => {
    const world = await started();
    const { owner } = await make(world, { owner: [] });
    const ownerReferences = [referenceTo(owner as ConfigMap)];
    await world.client.create(resources.secrets, {
      metadata: { name: "owned", namespace: "default", ownerReferences },
    });
    await world.pass(500);
    await remove(world, "owner");
    await world.pass(1_000);
    expect(await world.all(resources.secrets, "default")).toEqual([]);
  });

  it("keeps what has another living owner, and takes the gone one off its list", async () => {
    const world = await started();
    const { b } = await make(world, { a: [], b: [], shared: ["a", "b"] });
    await world.pass(500);
    await remove(world, "a");
    await world.pass(1_000);
    expect(await names(world)).toEqual(["b", "shared"]);
    const shared = await world.find(resources.configMaps, "default", "shared");
    expect(shared?.metadata.ownerReferences).toEqual([referenceTo(b as ConfigMap)]);
  });

  it("deletes dependents first when asked to, and the owner when the last one that blocks is gone", async () => {
    const world = await started();
    await make(world, { set: [], slow: ["set"], quick: ["set"] });
    await hold(world, "slow", ["example.com/slow"]);
    await world.pass(500);
    await remove(world, "set", "Foreground");
    await world.pass(3_000);
    expect(await names(world)).toEqual(["set", "slow"]);
    await hold(world, "slow", null);
    await world.pass(3_000);
    expect(await names(world)).toEqual([]);
  });

  it("leaves dependents behind when asked to, with no trace of their owner", async () => {
    const world = await started();
    await make(world, { set: [], pod1: ["set"], pod2: ["set"] });
    await world.pass(500);
    await remove(world, "set", "Orphan");
    await world.pass(3_000);
    const left = await world.all(resources.configMaps, "default");
    expect(left.map(({ metadata }) => [metadata.name, metadata.ownerReferences])).toEqual([
      ["pod1", undefined],
      ["pod2", undefined],
    ]);
  });

  it("keeps nobody waiting until a feed speaks by itself", async () => {
    const world = await started();
    await make(world, { first: [], goes: ["first"], orphan: [], stays: ["orphan"] });
    await world.pass(500);
    await remove(world, "first", "Foreground");
    await remove(world, "orphan", "Orphan");
    await world.pass(300);
    expect(await names(world)).toEqual(["stays"]);
  });

  it("overlooks no dependent that was made just before its owner went", async () => {
    const world = await started();
    const { set } = await make(world, { set: [] });
    const late = { name: "late", namespace: "default", ownerReferences: [referenceTo(set as ConfigMap)] };
    await world.client.create(resources.configMaps, { metadata: late });
    await remove(world, "set", "Orphan");
    await world.pass(3_000);
    expect(await names(world)).toEqual(["late"]);
    const left = await world.find(resources.configMaps, "default", "late");
    expect(left?.metadata.ownerReferences).toBeUndefined();
  });

  it("keeps what is owned by somebody whom a feed does not show, and still hears when that one goes", async () => {
    const world = await started();
    world.frozen.add("serviceaccounts");
    const account = await world.client.create(resources.serviceAccounts, {
      metadata: { name: "a", namespace: "default" },
    });
    const { uid = "" } = account.metadata;
    const ownerReferences = [{ apiVersion: "v1", kind: "ServiceAccount", name: "a", uid }];
    const metadata = { name: "owned", namespace: "default", ownerReferences };
    await world.client.create(resources.configMaps, { metadata });
    await world.pass(15_000);
    expect(await names(world)).toEqual(["owned"]);
    await world.client.delete(resources.serviceAccounts, "default", "a");
    await world.pass(3_000);
    expect(await names(world)).toEqual([]);
  });

  it.each(["Orphan", "Foreground"] as const)("does not let an owner go (%s) while a feed is behind", async (policy) => {
    const world = await started();
    const metadata = { name: "a", namespace: "default" };
    const account = await world.client.create(resources.serviceAccounts, { metadata });
    await world.pass(500);
    world.frozen.add("configmaps");
    const { uid = "" } = account.metadata;
    const owner = { apiVersion: "v1", kind: "ServiceAccount", name: "a", uid, blockOwnerDeletion: true };
    await world.client.create(resources.configMaps, { metadata: { ...metadata, name: "d", ownerReferences: [owner] } });
    await world.client.delete(resources.serviceAccounts, "default", "a", { propagationPolicy: policy });
    await world.pass(10_000);
    expect(await world.find(resources.serviceAccounts, "default", "a")).toBeDefined();
    expect(await names(world)).toEqual(["d"]);
    world.frozen.clear();
    await world.pass(10_000);
    expect(await world.find(resources.serviceAccounts, "default", "a")).toBeUndefined();
    const left = await world.find(resources.configMaps, "default", "d");
    if (policy === "Foreground") expect(left).toBeUndefined();
    else expect(left).not.toHaveProperty("metadata.ownerReferences");
    if (policy === "Orphan") expect(left).toBeDefined();
  });

  it("collects what a new leader finds", async () => {
    const world = await cluster("garbage");
    opened.push(world);
    await make(world, { set: [], pod: ["set"], kept: [] });
    await remove(world, "set");
    startGarbageCollector(world.ports);
    await world.pass(1_000);
    expect(await names(world)).toEqual(["kept"]);
  });

  it("knows no owner in another namespace, says so, and collects", async () => {
    const world = await started();
    const { set } = await make(world, { set: [] });
    const ownerReferences = [referenceTo(set as ConfigMap)];
    await world.pass(500);
    const stray = { name: "stray", namespace: "kube-public", ownerReferences };
    await world.client.create(resources.configMaps, { metadata: stray });
    await world.pass(1_000);
    expect(await world.find(resources.configMaps, "kube-public", "stray")).toBeUndefined();
    const uid = set?.metadata.uid ?? "";
    expect((await world.all(resources.events, "kube-public"))[0]).toMatchObject({
      type: "Warning",
      reason: "OwnerRefInvalidNamespace",
      message: `ownerRef [v1/ConfigMap, namespace: kube-public, name: set, uid: ${uid}] does not exist in namespace "kube-public"`,
      involvedObject: { kind: "ConfigMap", name: "stray" },
    });
    expect(await names(world)).toEqual(["set"]);
  });

  it("never takes a kind that is not served for a dead owner", async () => {
    const world = await started();
    const ownerReferences = [{ apiVersion: "example.com/v1", kind: "Widget", name: "w", uid: "1" }];
    await world.client.create(resources.configMaps, { metadata: { name: "w", namespace: "default", ownerReferences } });
    await world.pass(1_000);
    expect(await names(world)).toEqual(["w"]);
  });

  it("waits for no circle: two that own each other go together", async () => {
    const world = await started();
    const { b } = await make(world, { a: [], b: ["a"] });
    const body = { metadata: { ownerReferences: [referenceTo(b as ConfigMap)] } };
    const patch = { type: "application/merge-patch+json", body } as const;
    await world.client.patch(resources.configMaps, "default", "a", patch);
    await world.pass(500);
    await remove(world, "a", "Foreground");
    await world.pass(6_000);
    expect(await names(world)).toEqual([]);
  });

  it("deletes nothing that has a living owner, leaves no garbage, and then is silent", async () => {
    const policy = fc.constantFrom("Foreground" as const, "Background" as const, "Orphan" as const);
    const story = fc.record({
      // Each object's owners are among those before it.
      owners: fc.array(fc.uniqueArray(fc.nat(5), { maxLength: 2 }), { minLength: 3, maxLength: 7 }),
      deletes: fc.uniqueArray(fc.record({ index: fc.nat(6), policy }), {
        maxLength: 3,
        selector: ({ index }) => index,
      }),
      pauseMs: fc.constantFrom(0, 100, 1_000),
    });
    await fc.assert(
      fc.asyncProperty(story, async ({ owners, deletes, pauseMs }) => {
        const world = await started();
        const asked: string[] = [];
        const judgeDelete = watchDeletes(world, asked);
        const owned = owners.map((indexes, at) => [
          `o${at}`,
          indexes.filter((index) => index < at).map((i) => `o${i}`),
        ]);
        await make(world, Object.fromEntries(owned) as Record<string, string[]>);
        for (const { index, policy } of deletes.filter(({ index }) => index < owners.length)) {
          await world.pass(pauseMs);
          asked.push(`o${index}`);
          await remove(world, `o${index}`, policy).catch(() => undefined);
        }
        await world.pass(15_000);
        const left = await world.all(resources.configMaps, "default");
        const uids = new Set(left.map(({ metadata }) => metadata.uid));
        for (const { metadata } of left) {
          expect(metadata.deletionTimestamp).toBeUndefined();
          expect((metadata.ownerReferences ?? []).every(({ uid }) => uids.has(uid))).toBe(true);
        }
        expect(judgeDelete()).toEqual([]);
        const writes = world.writes.length;
        await world.pass(5_000);
        expect(world.writes.length).toBe(writes);
        expect(world.failures).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });
});

/** Notes, at each delete that no user asked for, whether a living owner that is not itself leaving kept the object. */
function watchDeletes(world: Cluster, asked: readonly string[]): () => string[] {
  const wrong: string[] = [];
  const { client } = world.ports;
  const original = client.delete.bind(client);
  client.delete = async (type, namespace, name, options = {}) => {
    if (!asked.includes(name) && type.resource === "configmaps" && namespace === "default") {
      const object = await world.find(resources.configMaps, namespace, name);
      for (const owner of object?.metadata.ownerReferences ?? []) {
        const living = await world.find(resources.configMaps, namespace, owner.name);
        if (living?.metadata.uid === owner.uid && !living.metadata.deletionTimestamp)
          wrong.push(`${name} of ${owner.name}`);
      }
    }
    await original(type, namespace, name, options);
  };
  return () => wrong;
}

describe("the rules", () => {
  const object = (metadata: object = {}): Situation["object"] => ({ metadata: { name: "x", uid: "x", ...metadata } });
  const owners = (...states: OwnerState[]): Situation["owners"] =>
    states.map((state, at) => ({
      reference: { apiVersion: "v1", kind: "ConfigMap", name: `${at}`, uid: `${at}` },
      state,
    }));
  const dependent = (block: boolean) => ({
    ...graphObject(resources.configMaps, { metadata: { uid: "d" } }),
    owners: [{ apiVersion: "v1", kind: "ConfigMap", name: "x", uid: "x", blockOwnerDeletion: block }],
  });
  const leaving = { deletionTimestamp: "2026-01-01T00:00:00Z" };

  it.each<[string, Partial<Situation>, string]>([
    ["no owners", {}, "leave alone"],
    ["all owners gone", { owners: owners("gone", "gone") }, "delete it"],
    ["one of them there", { owners: owners("gone", "there") }, "drop owners that are gone"],
    ["one of them unknown", { owners: owners("gone", "unknown") }, "leave alone"],
    ["all there", { owners: owners("there", "there") }, "leave alone"],
    ["an owner waits", { owners: owners("deletes dependents first") }, "delete it"],
    [
      "an owner waits, and it has dependents",
      { owners: owners("deletes dependents first"), dependents: [dependent(false)] },
      "delete it after its dependents",
    ],
    ["leaving already", { object: object(leaving), owners: owners("gone") }, "leave alone"],
    [
      "leaving, orphans",
      { object: object({ ...leaving, finalizers: ["orphan"] }), dependents: [dependent(true)] },
      "orphan its dependents, then let it go",
    ],
    [
      "leaving, blocked",
      { object: object({ ...leaving, finalizers: ["foregroundDeletion"] }), dependents: [dependent(true)] },
      "wait for blocking dependents",
    ],
    [
      "leaving, not blocked",
      { object: object({ ...leaving, finalizers: ["foregroundDeletion"] }), dependents: [dependent(false)] },
      "let it go",
    ],
  ])("%s", (_name, situation, verdict) => {
    expect(judge({ object: object(), owners: [], dependents: [], ...situation })).toBe(verdict);
  });

  it("never delete what has an owner that is there or unknown", () => {
    const state = fc.constantFrom<OwnerState>("there", "gone", "deletes dependents first", "unknown");
    const property = fc.property(fc.array(state), fc.boolean(), fc.array(fc.boolean()), (states, isLeaving, blocks) => {
      const situation = {
        object: object(isLeaving ? leaving : {}),
        owners: owners(...states),
        dependents: blocks.map(dependent),
      };
      const deletes = plan(situation).some((action) => action.do === "delete");
      if (deletes) expect(states.includes("there") || states.includes("unknown") || isLeaving).toBe(false);
      else if (!isLeaving && states.length > 0)
        expect(states.includes("there") || states.includes("unknown")).toBe(true);
    });
    fc.assert(property);
  });
});

describe("the graph", () => {
  const at = (uid: string, ...owners: string[]) =>
    graphObject(resources.configMaps, {
      metadata: {
        uid,
        name: uid,
        namespace: "n",
        ownerReferences: owners.map((owner) => ({ apiVersion: "v1", kind: "ConfigMap", name: owner, uid: owner })),
      },
    });

  it("wakes the dependents of what has gone, and whom nobody shown owns", () => {
    const graph = new OwnerGraph();
    const pod = at("pod", "set");
    graph.put(pod);
    expect(wakes(graph, undefined, pod)).toEqual(["pod"]);
    const set = at("set");
    expect(wakes(graph, graph.put(set), set)).toEqual([]);
    expect(wakes(graph, pod, pod)).toEqual([]);
    expect(wakes(graph, graph.remove("set"), undefined)).toEqual(["pod"]);
    expect(graph.dependents("set").map(({ uid }) => uid)).toEqual(["pod"]);
    graph.put(at("pod"));
    expect(graph.dependents("set")).toEqual([]);
  });
});
