import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { startServiceAccountController } from "../serviceaccount/reconcile.ts";
import { plan } from "./plan.ts";
import { startRootCaController } from "./reconcile.ts";

const opened: Cluster[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function started(rootCa?: () => string): Promise<Cluster> {
  const world = await cluster("root-ca", rootCa ? { rootCa } : {});
  opened.push(world);
  startRootCaController(world.ports);
  startServiceAccountController(world.ports);
  return world;
}

const map = (world: Cluster, namespace: string): Promise<ConfigMap | undefined> =>
  world.find(resources.configMaps, namespace, "kube-root-ca.crt");

describe("what every namespace has", () => {
  it("is made for those that are there and those that come", async () => {
    const world = await started();
    await world.client.create(resources.namespaces, { metadata: { name: "shop" }, spec: {} });
    await world.pass(500);
    for (const namespace of ["default", "kube-system", "kube-node-lease", "kube-public", "shop"]) {
      expect((await map(world, namespace))?.data).toEqual({ "ca.crt": "-----CA-----\n" });
      expect(await world.find(resources.serviceAccounts, namespace, "default")).toBeDefined();
    }
    expect((await map(world, "shop"))?.metadata.annotations?.["kubernetes.io/description"]).toMatch(/^Contains a CA/);
    expect(world.failures).toEqual([]);
  });

  it("comes back when it is deleted or changed, and then there is silence", async () => {
    const world = await started();
    await world.pass(500);
    await world.client.delete(resources.configMaps, "default", "kube-root-ca.crt");
    await world.client.delete(resources.serviceAccounts, "default", "default");
    const body = { data: { "ca.crt": "mine", extra: "too" }, metadata: { labels: { mine: "yes" } } };
    const patch = { type: "application/merge-patch+json", body } as const;
    await world.client.patch(resources.configMaps, "kube-public", "kube-root-ca.crt", patch);
    await world.pass(500);
    expect((await map(world, "default"))?.data).toEqual({ "ca.crt": "-----CA-----\n" });
    expect(await map(world, "kube-public")).toMatchObject({
      data: { "ca.crt": "-----CA-----\n" },
      metadata: { labels: { mine: "yes" } },
    });
    expect(await world.find(resources.serviceAccounts, "default", "default")).toBeDefined();
    const before = world.writes.length;
    await world.pass(5_000);
    expect(world.writes.length).toBe(before);
  });

  it("names new authorities in every namespace as soon as their file does", async () => {
    let bundle = "old";
    const world = await started(() => bundle);
    await world.pass(500);
    expect((await map(world, "default"))?.data).toEqual({ "ca.crt": "old" });
    bundle = "old and new";
    world.rootCaChanged();
    await world.pass(500);
    for (const namespace of ["default", "kube-system", "kube-node-lease", "kube-public"])
      expect((await map(world, namespace))?.data).toEqual({ "ca.crt": "old and new" });
    expect(world.failures).toEqual([]);
  });

  it("is left to go with a namespace that goes", async () => {
    const world = await started();
    await world.client.create(resources.namespaces, { metadata: { name: "shop" }, spec: {} });
    await world.pass(500);
    await world.client.delete(resources.namespaces, "", "shop");
    await world.client.delete(resources.serviceAccounts, "shop", "default");
    await world.pass(500);
    expect(await world.find(resources.serviceAccounts, "shop", "default")).toBeUndefined();
  });
});

describe("the plan for the root CA", () => {
  const namespace = { metadata: { name: "x" }, spec: {} };
  const rows: readonly (readonly [why: string, actual: ConfigMap | undefined, does: string])[] = [
    ["absent", undefined, "create"],
    ["without description", { metadata: { name: "n" }, data: { "ca.crt": "CA" } }, "update"],
    ["another CA", { metadata: described("any words"), data: { "ca.crt": "old" } }, "update"],
    ["more than the CA", { metadata: described("any words"), data: { "ca.crt": "CA", more: "" } }, "update"],
    ["as it should be", { metadata: described("any words"), data: { "ca.crt": "CA" } }, "nothing"],
  ];
  it.each(rows)("%s", (_why, actual, does) => {
    expect(plan("CA", namespace, actual).do).toBe(does);
    expect(plan("CA", { ...namespace, status: { phase: "Terminating" } }, actual).do).toBe("nothing");
  });

  function described(words: string): ConfigMap["metadata"] {
    return { name: "n", annotations: { "kubernetes.io/description": words } };
  }
});
