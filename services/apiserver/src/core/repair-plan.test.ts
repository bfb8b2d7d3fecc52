import type { Service } from "@pilothouse/api/types/core-v1";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { planRepair, type Holder, type Holdings } from "./repair-plan.ts";
import { addressKey, heldKeys, ipAddressOf, portKey } from "./service-addresses.ts";

const service = (name: string, spec: Service["spec"]): Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { namespace: "default", name, uid: name },
  spec,
});
const at = (name: string, clusterIP: string, ...nodePorts: number[]): Service =>
  service(name, {
    ...(nodePorts.length > 0 ? { type: "NodePort" } : {}),
    clusterIP,
    clusterIPs: [clusterIP],
    ports: nodePorts.map((nodePort) => ({ port: 80, nodePort })),
  });
const holder = (name: string): Holder => ({ namespace: "default", name });
const RANGE = { metadata: { name: "kubernetes" }, spec: { cidrs: ["10.0.0.0/24"] } };

function whole(services: readonly Service[]): Holdings {
  return {
    services,
    ipAddresses: services.flatMap((one) => (one.spec.clusterIPs ?? []).map((address) => ipAddressOf(address, one))),
    serviceCidrs: [RANGE],
    keys: new Map(services.flatMap((one) => heldKeys(one).map((key) => [key, holder(one.metadata.name ?? "")]))),
  };
}

const told = (holdings: Holdings): readonly string[] =>
  planRepair(holdings).map((step) => {
    const event = "event" in step && step.event ? ` ${step.event.reason}: ${step.event.message}` : "";
    return `${step.do}${event}`;
  });

test("where all is well there is nothing to do", () => {
  expect(told(whole([at("a", "10.0.0.5", 30_001), at("b", "10.0.0.6"), service("c", { clusterIP: "None" })]))).toEqual(
    [],
  );
});

test("what cannot be mended is told, in upstream's words", () => {
  const twice = {
    ...whole([at("a", "10.0.0.5", 30_001)]),
    services: [at("a", "10.0.0.5", 30_001), at("b", "10.0.0.5", 30_001)],
  };
  expect(told(twice)).toEqual([
    "tell ClusterIPAlreadyAllocated: Cluster IP [IPv4]:10.0.0.5 was assigned to multiple services; please recreate service",
    "tell PortAlreadyAllocated: Port 30001 was assigned to multiple services; please recreate service",
  ]);
  expect(told(whole([at("a", "10.7.0.5", 80)]))).toEqual([
    "tell ClusterIPOutOfRange: Cluster IP [IPv4]: 10.7.0.5 is not within any configured Service CIDR; please recreate service",
    "tell PortOutOfRange: Port 80 is not within the port range 30000-32767; please recreate service",
  ]);
});

test("an IPAddress that names somebody else is made anew, and one without its labels too", () => {
  const web = at("web", "10.0.0.5");
  const gateway = { group: "gateway.networking.k8s.io", resource: "gateways", name: "door", namespace: "default" };
  const wrong = { ...ipAddressOf("10.0.0.5", web), spec: { parentRef: gateway } };
  expect(told({ ...whole([web]), ipAddresses: [wrong] })).toEqual([
    "make address ClusterIPNotAllocated: the ClusterIP [IPv4]: 10.0.0.5 for Service default/web has a wrong reference; repairing",
  ]);
  const bare = { ...ipAddressOf("10.0.0.5", web), metadata: { name: "10.0.0.5" } };
  expect(told({ ...whole([web]), ipAddresses: [bare] })).toEqual(["make address"]);
  const foreign = { ...wrong, metadata: { name: "10.0.0.9" } };
  expect(told({ ...whole([web]), ipAddresses: [ipAddressOf("10.0.0.5", web), foreign] })).toEqual([]);
});

test("whatever is missing or left over, one repair makes it whole", () => {
  const services = [at("a", "10.0.0.5", 30_001), at("b", "10.0.0.6", 30_002, 30_003), at("c", "10.0.0.7")];
  const gone = [at("x", "10.0.0.8", 30_004), at("y", "10.0.0.9")];
  const all = whole([...services, ...gone]);
  fc.assert(
    fc.property(fc.subarray([...all.keys]), fc.subarray([...all.ipAddresses]), (keys, ipAddresses) => {
      const left = { keys: new Map(keys), objects: new Map(ipAddresses.map((one) => [one.metadata.name ?? "", one])) };
      for (const step of planRepair({ services, ipAddresses, serviceCidrs: [RANGE], keys: new Map(keys) })) {
        if (step.do === "hold") left.keys.set(step.key, holder(step.service.metadata.name ?? ""));
        else if (step.do === "release") left.keys.delete(step.key);
        else if (step.do === "make address") left.objects.set(step.address, ipAddressOf(step.address, step.service));
        else if (step.do === "drop address") left.objects.delete(step.ipAddress.metadata.name ?? "");
      }
      const wanted = whole(services);
      expect(new Set(left.keys.keys())).toEqual(new Set(wanted.keys.keys()));
      expect(new Set(left.objects.keys())).toEqual(new Set(wanted.ipAddresses.map(({ metadata }) => metadata.name)));
      expect(planRepair({ ...wanted, keys: left.keys, ipAddresses: [...left.objects.values()] })).toEqual([]);
    }),
  );
});

test("a key of a Service that no longer holds it goes over to the one that does", () => {
  const holdings = {
    ...whole([at("a", "10.0.0.5", 30_001)]),
    keys: new Map([[addressKey("10.0.0.5"), holder("old")]]),
  };
  expect(told(holdings)).toEqual(["hold", "hold PortNotAllocated: Port 30001 is not allocated; repairing"]);
  expect(planRepair(holdings)[1]).toMatchObject({ key: portKey(30_001) });
});
