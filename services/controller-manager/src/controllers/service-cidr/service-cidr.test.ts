import type { Service } from "@pilothouse/api/types/core-v1";
import type { IPAddress, ServiceCIDR } from "@pilothouse/api/types/networking-v1";
import { resources } from "@pilothouse/client";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { cluster, type Cluster } from "../../cluster.fixture.ts";
import { plan, SERVICE_CIDR_FINALIZER } from "./plan.ts";
import { startServiceCidrController } from "./reconcile.ts";

const opened: Cluster[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function world(): Promise<Cluster> {
  const made = await cluster("service-cidr");
  opened.push(made);
  startServiceCidrController(made.ports);
  await made.pass(500);
  return made;
}

const range = (name: string, ...cidrs: string[]): ServiceCIDR => ({ metadata: { name, uid: name }, spec: { cidrs } });
const marked = (one: ServiceCIDR): ServiceCIDR => ({
  ...one,
  metadata: { ...one.metadata, deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [SERVICE_CIDR_FINALIZER] },
});
const address = (name: string): IPAddress => ({
  metadata: { name, labels: { "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io" } },
  spec: { parentRef: { resource: "services", namespace: "default", name: "web" } },
});
const ready = (one: ServiceCIDR | undefined) => (one?.status?.conditions ?? []).find(({ type }) => type === "Ready");

describe("a range that is deleted", () => {
  const inner = marked(range("inner", "10.0.1.0/24"));

  it("stays while an address is in no other one", () => {
    const addresses = [address("10.0.1.7")];
    expect(plan(inner, { ranges: [inner], addresses }).do).toBe("tell terminating");
    expect(plan(inner, { ranges: [inner, range("outer", "10.0.0.0/16")], addresses }).do).toBe("let go");
    expect(plan(inner, { ranges: [inner], addresses: [address("10.0.2.7")] }).do).toBe("let go");
    const byHand = { metadata: { name: "10.0.1.7" }, spec: {} };
    expect(plan(inner, { ranges: [inner], addresses: [byHand] }).do).toBe("let go");
  });

  it("is no home for what another one leaves: of two equal ones that go together one stays", () => {
    const twin = marked(range("twin", "10.0.1.0/24"));
    const addresses = [address("10.0.1.7")];
    for (const one of [inner, twin])
      expect(plan(one, { ranges: [inner, twin], addresses }).do).toBe("tell terminating");
  });

  it("never leaves an address without a range, in whatever order ranges are deleted", () => {
    const all = ["10.0.0.0/16", "10.0.1.0/24", "10.0.1.0/24", "10.0.0.0/8", "fd00::/112"].map((cidr, index) =>
      range(`r${index}`, cidr),
    );
    const addresses = [address("10.0.1.7"), address("10.3.0.1"), address("fd00::5")];
    fc.assert(
      fc.property(fc.shuffledSubarray(all, { minLength: 5 }), (order) => {
        let left: readonly ServiceCIDR[] = all;
        for (const one of order) {
          left = left.map((other) => (other.metadata.uid === one.metadata.uid ? marked(other) : other));
          left = left.filter(
            (other) =>
              plan(other, { ranges: left, addresses }).do !== "let go" ||
              other.metadata.deletionTimestamp === undefined,
          );
        }
        expect(left.map(({ spec }) => spec?.cidrs?.[0])).toEqual(expect.arrayContaining(["fd00::/112"]));
        expect(left.length).toBeLessThan(5);
      }),
    );
  });
});

describe("the service-cidr controller", () => {
  it("tells that a range is ready, and keeps it while a Service has an address of it", async () => {
    const made = await world();
    const { client, failures } = made;
    await client.create(resources.serviceCidrs, { metadata: { name: "more" }, spec: { cidrs: ["10.9.0.0/28"] } });
    await made.pass(500);
    const told = await made.find(resources.serviceCidrs, "", "more");
    expect(told?.metadata.finalizers).toEqual([SERVICE_CIDR_FINALIZER]);
    expect(ready(told)).toMatchObject({ status: "True", message: "Kubernetes Service CIDR is ready" });
    await client.create<Service>(resources.services, {
      metadata: { name: "web", namespace: "default" },
      spec: { clusterIP: "10.9.0.5", ports: [{ port: 80 }] },
    });
    await client.delete(resources.serviceCidrs, "", "more");
    await made.pass(500);
    expect(ready(await made.find(resources.serviceCidrs, "", "more"))).toMatchObject({
      status: "False",
      reason: "Terminating",
      message:
        "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
    });
    await client.delete(resources.services, "default", "web");
    await made.pass(500);
    expect(await made.find(resources.serviceCidrs, "", "more")).toBeUndefined();
    expect(failures).toEqual([]);
  });

  it("concludes nothing from feeds that do not show an address (C13)", async () => {
    const made = await world();
    const { client, frozen } = made;
    await client.create(resources.serviceCidrs, { metadata: { name: "more" }, spec: { cidrs: ["10.9.0.0/28"] } });
    await made.pass(500);
    frozen.add("ipaddresses");
    await client.create<Service>(resources.services, {
      metadata: { name: "web", namespace: "default" },
      spec: { clusterIP: "10.9.0.5", ports: [{ port: 80 }] },
    });
    await client.delete(resources.serviceCidrs, "", "more");
    await made.pass(1_000);
    expect(await made.find(resources.serviceCidrs, "", "more")).toBeDefined();
  });
});
