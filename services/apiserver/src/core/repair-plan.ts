/**
 * Whether every Service holds what it has, and nothing is held for nobody: cluster IPs with their IPAddress objects, and node
 * ports. Pure; by upstream's ipallocator-repair-controller and portallocator-repair-controller, in their words.
 *
 * All that is given is of one revision. Each step names what it rests on, so that it is carried out only if that still is so.
 */
import type { Service } from "@pilothouse/api/types/core-v1";
import type { IPAddress, ServiceCIDR } from "@pilothouse/api/types/networking-v1";
import { ipFamily } from "@pilothouse/kinds/ip";
import {
  addressKey,
  heldAddresses,
  heldPorts,
  ipAddressLabels,
  isAllocators,
  NODE_PORTS,
  parentService,
  portKey,
  rangesOf,
} from "./service-addresses.ts";

export interface Holdings {
  readonly services: readonly Service[];
  readonly ipAddresses: readonly IPAddress[];
  readonly serviceCidrs: readonly ServiceCIDR[];
  /** Allocation keys, and who they say holds them. */
  readonly keys: ReadonlyMap<string, Holder>;
}

export interface Holder {
  readonly namespace: string;
  readonly name: string;
}

export interface RepairEvent {
  readonly about: Service | IPAddress;
  readonly component: "ipallocator-repair-controller" | "portallocator-repair-controller";
  readonly reason: string;
  readonly message: string;
}

export type RepairStep =
  /** The key is put. */
  | { readonly do: "hold"; readonly service: Service; readonly key: string; readonly event?: RepairEvent }
  /** The object is made; `instead` goes. */
  | {
      readonly do: "make address";
      readonly service: Service;
      readonly address: string;
      readonly instead: IPAddress | undefined;
      readonly event?: RepairEvent;
    }
  /** The object is deleted; `parent` is the Service that it names, if there is one. */
  | {
      readonly do: "drop address";
      readonly ipAddress: IPAddress;
      readonly parent: Holder | undefined;
      readonly event: RepairEvent;
    }
  /** The key is deleted. */
  | { readonly do: "release"; readonly key: string; readonly holder: Holder }
  | { readonly do: "tell"; readonly event: RepairEvent };

export function planRepair(holdings: Holdings): readonly RepairStep[] {
  return [...addressSteps(holdings), ...portSteps(holdings), ...leftObjects(holdings), ...leftKeys(holdings)];
}

function* addressSteps({ services, ipAddresses, serviceCidrs, keys }: Holdings): Generator<RepairStep> {
  const objects = new Map(ipAddresses.map((object) => [object.metadata.name ?? "", object]));
  const ranges = serviceCidrs.flatMap(rangesOf);
  const byName = new Map(services.map((service) => [nameOf(service), service]));
  for (const service of services) {
    for (const address of heldAddresses(service)) {
      const family = ipFamily(address);
      const event = (reason: string, message: string): RepairEvent => ({
        about: service,
        component: "ipallocator-repair-controller",
        reason,
        message,
      });
      if (family === undefined) {
        const message = `Cluster IP ${address} is not a valid IP; please recreate Service`;
        yield { do: "tell", event: event("ClusterIPNotValid", message) };
        continue;
      }
      const what = `Cluster IP [${family}]: ${address}`;
      if (family === "IPv4" && !ranges.some((range) => range.holds(address))) {
        const message = `${what} is not within any configured Service CIDR; please recreate service`;
        yield { do: "tell", event: event("ClusterIPOutOfRange", message) };
        continue;
      }
      const key = addressKey(address);
      const holder = keys.get(key);
      const isShared = holder !== undefined && !isOf(holder, service) && holds(byName.get(textOf(holder)), address);
      if (isShared) {
        const message = `Cluster IP [${family}]:${address} was assigned to multiple services; please recreate service`;
        yield { do: "tell", event: event("ClusterIPAlreadyAllocated", message) };
        continue;
      }
      if (holder === undefined || !isOf(holder, service)) yield { do: "hold", service, key };
      const object = objects.get(address);
      const step = { do: "make address", service, address, instead: object } as const;
      if (!object) yield { ...step, event: event("ClusterIPNotAllocated", `${what} is not allocated; repairing`) };
      else if (!isOf(parentService(object), service)) {
        const wrong = `the ClusterIP [${family}]: ${address} for Service ${nameOf(service)} has a wrong reference; repairing`;
        yield { ...step, event: event("ClusterIPNotAllocated", wrong) };
      } else if (!hasLabels(object)) yield step;
    }
  }
}

function* portSteps({ services, keys }: Holdings): Generator<RepairStep> {
  const seen = new Set<number>();
  for (const service of services) {
    for (const port of heldPorts(service)) {
      const event = (reason: string, message: string): RepairEvent => ({
        about: service,
        component: "portallocator-repair-controller",
        reason,
        message,
      });
      const { first, last } = NODE_PORTS;
      if (port < first || port > last) {
        const message = `Port ${port} is not within the port range ${first}-${last}; please recreate service`;
        yield { do: "tell", event: event("PortOutOfRange", message) };
        continue;
      }
      if (seen.has(port)) {
        const message = `Port ${port} was assigned to multiple services; please recreate service`;
        yield { do: "tell", event: event("PortAlreadyAllocated", message) };
        continue;
      }
      seen.add(port);
      if (keys.has(portKey(port))) continue;
      const message = `Port ${port} is not allocated; repairing`;
      yield { do: "hold", service, key: portKey(port), event: event("PortNotAllocated", message) };
    }
  }
}

/** IPAddresses that the allocator made, of Services that do not have them. Those that somebody else made are theirs. */
function* leftObjects({ services, ipAddresses }: Holdings): Generator<RepairStep> {
  const byName = new Map(services.map((service) => [nameOf(service), service]));
  const had = new Set(services.flatMap(heldAddresses));
  for (const ipAddress of ipAddresses) {
    const { name = "" } = ipAddress.metadata;
    // What a Service has is looked at with the Service.
    if (!isAllocators(ipAddress) || had.has(name)) continue;
    const parent = parentService(ipAddress);
    const event = (reason: string, message: string): RepairEvent => ({
      about: ipAddress,
      component: "ipallocator-repair-controller",
      reason,
      message,
    });
    const drop = { do: "drop address", ipAddress, parent } as const;
    if (!parent) {
      const message = `IPAddress ${name} appears to have been modified, not referencing a Service: cleaning up`;
      yield { ...drop, event: event("IPAddressNotAllocated", message) };
    } else if (byName.has(textOf(parent))) {
      const message = `IPAddress: ${name} for Service ${textOf(parent)} has a wrong reference; cleaning up`;
      yield { ...drop, event: event("IPAddressWrongReference", message) };
    } else {
      const message = `IPAddress: ${name} for Service ${textOf(parent)} appears to have leaked: cleaning up`;
      yield { ...drop, event: event("IPAddressNotAllocated", message) };
    }
  }
}

function* leftKeys({ services, keys }: Holdings): Generator<RepairStep> {
  const had = new Set(
    services.flatMap((one) => [...heldAddresses(one).map(addressKey), ...heldPorts(one).map(portKey)]),
  );
  for (const [key, holder] of keys) if (!had.has(key)) yield { do: "release", key, holder };
}

function hasLabels({ metadata }: IPAddress): boolean {
  return Object.entries(ipAddressLabels(metadata.name ?? "")).every(([key, value]) => metadata.labels?.[key] === value);
}

function holds(service: Service | undefined, address: string): boolean {
  return service !== undefined && heldAddresses(service).includes(address);
}

function isOf(holder: Holder | undefined, { metadata }: Service): boolean {
  return holder?.namespace === metadata.namespace && holder?.name === metadata.name;
}

const nameOf = ({ metadata }: Service): string => `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;
const textOf = ({ namespace, name }: Holder): string => `${namespace}/${name}`;
