import type { Namespace, Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { StatusError } from "@pilothouse/errors";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { startServiceAccountController } from "../serviceaccount/reconcile.ts";
import { startRootCaController } from "../root-ca/reconcile.ts";
import { plan, type Findings } from "./plan.ts";
import { startNamespaceController } from "./reconcile.ts";

const opened: Cluster[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

/** With a namespace `shop` that has what every namespace has. */
async function started(): Promise<Cluster> {
  const world = await cluster();
  opened.push(world);
  startServiceAccountController(world.ports);
  startRootCaController(world.ports);
  startNamespaceController(world.ports);
  await world.client.create(resources.namespaces, { metadata: { name: "shop" }, spec: {} });
  await world.pass(500);
  return world;
}

const pod = (name: string, nodeName?: string): Pod => ({
  metadata: { name, namespace: "shop" },
  spec: {
    containers: [{ name: "c", image: "web" }],
    ...(nodeName === undefined ? {} : { nodeName }),
  },
});
const map = (name: string, finalizers?: string[]) => ({
  metadata: { name, namespace: "shop", ...(finalizers === undefined ? {} : { finalizers }) },
});
const shop = (world: Cluster): Promise<Namespace | undefined> => world.find(resources.namespaces, "", "shop");
const conditions = async (world: Cluster): Promise<Record<string, string | undefined>> =>
  Object.fromEntries(
    ((await shop(world))?.status?.conditions ?? [])
      .filter(({ status }) => status === "True")
      .map(({ type, reason, message }) => [type, `${reason}: ${message}`]),
  );

describe("the namespace controller", () => {
  it("empties a namespace of everything that is served, and lets it go", async () => {
    const world = await started();
    await world.client.create(resources.configMaps, map("one"));
    await world.client.create(resources.pods, pod("unscheduled"));
    await world.client.create(resources.roles, { ...map("reader"), rules: [] });
    await world.client.delete(resources.namespaces, "", "shop");
    await world.pass(1_000);
    expect(await shop(world)).toBeUndefined();
    for (const type of [resources.configMaps, resources.pods, resources.roles, resources.serviceAccounts])
      expect(await world.all(type, "shop")).toEqual([]);
    expect(await world.find(resources.namespaces, "", "default")).toBeDefined();
    expect(world.failures).toEqual([]);
  });

  it("lets running pods end first, and says that it waits", async () => {
    const world = await started();
    await world.client.create(resources.configMaps, map("used by the pod".replaceAll(" ", "-")));
    await world.client.create(resources.pods, pod("running", "node-1"));
    await world.client.delete(resources.namespaces, "", "shop");
    await world.pass(1_000);
    expect(await conditions(world)).toEqual({
      NamespaceContentRemaining: "SomeResourcesRemain: Some resources are remaining: pods. has 1 resource instances",
    });
    expect((await world.find(resources.pods, "shop", "running"))?.metadata.deletionTimestamp).toBeDefined();
    expect(await world.find(resources.configMaps, "shop", "used-by-the-pod")).toBeDefined();
    await world.client.delete(resources.pods, "shop", "running", { gracePeriodSeconds: 0 });
    await world.pass(500);
    expect(await shop(world)).toBeUndefined();
  });

  it("waits for finalizers of others, and names them", async () => {
    const world = await started();
    await world.client.create(resources.configMaps, map("held", ["example.com/backup"]));
    await world.client.delete(resources.namespaces, "", "shop");
    await world.pass(1_000);
    expect(await conditions(world)).toEqual({
      NamespaceContentRemaining:
        "SomeResourcesRemain: Some resources are remaining: configmaps. has 1 resource instances",
      NamespaceFinalizersRemaining:
        "SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/backup in 1 resource instances",
    });
    const body = { metadata: { finalizers: null } };
    const patch = { type: "application/merge-patch+json", body } as const;
    await world.client.patch(resources.configMaps, "shop", "held", patch);
    await world.pass(500);
    expect(await shop(world)).toBeUndefined();
  });

  it("does not let go what it could not look at", async () => {
    const world = await started();
    await world.client.create(resources.configMaps, map("one"));
    world.intercept = ({ method, path }) => {
      if (method === "GET" && path === "/apis/apps/v1") throw new StatusError(503, "ServiceUnavailable", "away");
      if (method === "DELETE" && path.endsWith("/configmaps")) throw new StatusError(500, "InternalError", "broken");
    };
    await world.client.delete(resources.namespaces, "", "shop");
    await world.pass(1_000);
    expect(await conditions(world)).toEqual({
      NamespaceDeletionDiscoveryFailure:
        "DiscoveryFailed: Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: apps/v1: away",
      NamespaceDeletionContentFailure:
        "ContentDeletionFailed: Failed to delete all resource types, 1 remaining: broken",
    });
    world.intercept = undefined;
    await world.pass(6_000);
    expect(await shop(world)).toBeUndefined();
  });

  it("asks no cache: kinds that no informer follows go as well", async () => {
    const world = await started();
    await world.client.create(resources.roles, { ...map("unseen"), rules: [] });
    await world.client.delete(resources.namespaces, "", "shop");
    await world.pass(1_000);
    expect(await shop(world)).toBeUndefined();
    expect(await world.all(resources.roles, "shop")).toEqual([]);
  });
});

describe("the plan", () => {
  const clean: Findings = { deleteFailures: [], remaining: [] };
  const namespace: Namespace = {
    metadata: { name: "x", deletionTimestamp: "2026-01-01T00:00:00Z" },
    spec: { finalizers: ["kubernetes", "example.com/own"] },
  };

  it("takes only our finalizer away", () => {
    expect(plan(namespace, clean, 0).at(-1)).toEqual({ do: "finalize", finalizers: ["example.com/own"] });
  });

  it.each<[string, Partial<Findings>]>([
    ["something remains", { remaining: [{ group: "", resource: "pods", count: 1, finalizers: {} }] }],
    ["something failed", { deleteFailures: ["no"] }],
    ["not all is known", { discoveryFailure: "no" }],
  ])("never lets it go when %s", (_why, found) => {
    expect(plan(namespace, { ...clean, ...found }, 0).map((action) => action.do)).toEqual(["tell"]);
  });

  it("tells nothing twice, and keeps the time since when it is so", () => {
    const found = { ...clean, deleteFailures: ["no"] };
    const told = (before: Namespace, nowMs: number): Namespace | undefined => {
      const action = plan(before, found, nowMs)[0];
      return action?.do === "tell" ? action.namespace : undefined;
    };
    const first = told(namespace, 0) as Namespace;
    expect(told(first, 60_000)).toBeUndefined();
    const worse = plan(first, { ...found, deleteFailures: ["no", "never"] }, 60_000)[0];
    expect(worse).toMatchObject({ do: "tell" });
    expect(JSON.stringify(worse)).not.toContain("1970-01-01T00:01:00Z");
  });
});
