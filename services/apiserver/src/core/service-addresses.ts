/** Service addresses and node ports: the ranges, who holds what, and where a free one is looked for. Pure. */
import type { Service } from "@pilothouse/api/types/core-v1";
import type { IPAddress, ServiceCIDR } from "@pilothouse/api/types/networking-v1";
import { ipFamily, parseIp } from "@pilothouse/kinds/ip";

export interface AddressRange {
  readonly cidr: string;
  /** The network's own address as a number. */
  readonly base: number;
  /** Addresses in it, network and broadcast included. */
  readonly size: number;
  holds(address: string): boolean;
}

export const NODE_PORTS = { first: 30_000, last: 32_767 } as const;

/** Where allocations live in the store: a key for each address and port, in the transaction of the Service that holds it. */
export const ALLOCATIONS = "/pilothouse/allocations/";
export const ADDRESS_ALLOCATIONS = `${ALLOCATIONS}address/`;
export const PORT_ALLOCATIONS = `${ALLOCATIONS}port/`;

/** Throws for what is no IPv4 network of at least 8 addresses. */
export function addressRange(cidr: string): AddressRange {
  const range = ipv4Range(cidr);
  if (range === undefined || range.size < 2 ** 3 || range.size > 2 ** 24) {
    throw new Error(`${cidr} is no IPv4 range of /8 to /29`);
  }
  return range;
}

/** Where a ServiceCIDR's Services may be: its IPv4 ranges. One that is too small for a single host gives nothing away. */
export function rangesOf({ spec }: ServiceCIDR): readonly AddressRange[] {
  return (spec?.cidrs ?? [])
    .map(ipv4Range)
    .filter((range) => range !== undefined)
    .filter(({ size }) => size >= 4);
}

/** Gives addresses: it is not on its way out, and nobody says that it is not ready. */
export function isInUse({ metadata, status }: ServiceCIDR): boolean {
  if (metadata.deletionTimestamp !== undefined) return false;
  return (status?.conditions ?? []).find(({ type }) => type === "Ready")?.status !== "False";
}

/** Undefined for what is no IPv4 network. */
function ipv4Range(cidr: string): AddressRange | undefined {
  const [address = "", bits = ""] = cidr.split("/");
  const prefix = Number(bits);
  const first = numberOf(address);
  if (first === undefined || !/^\d+$/.test(bits) || prefix > 32) return undefined;
  const size = 2 ** (32 - prefix);
  const base = Math.floor(first / size) * size;
  const holds = (candidate: string): boolean => {
    const value = numberOf(candidate);
    return value !== undefined && value > base && value < base + size - 1;
  };
  return { cidr, base, size, holds };
}

/** The address at an offset: 1 is the `kubernetes` Service's, 10 the cluster DNS's. */
export function addressAt({ base }: AddressRange, offset: number): string {
  const value = base + offset;
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

export const KUBERNETES_OFFSET = 1;
export const DNS_OFFSET = 10;

/**
 * The offset at which a dynamic allocation begins to look; addresses that users choose by hand are more likely in the lower
 * band, so that is left alone while the upper one has room.
 * @param chance in [0, 1)
 */
export function dynamicOffset({ size }: AddressRange, chance: number): number {
  const lowerBand = Math.min(Math.max(16, Math.floor(size / 16)), 256, Math.floor(size / 2));
  return lowerBand + Math.floor(chance * (size - lowerBand - 1));
}

export function wantsClusterIp({ spec }: Service): boolean {
  return spec.type !== "ExternalName" && spec.clusterIP !== "None";
}

export function wantsNodePorts({ spec }: Service): boolean {
  return spec.type === "NodePort" || (spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false);
}

export function wantsHealthCheckPort({ spec }: Service): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

export function heldAddresses(service: Service): readonly string[] {
  const { clusterIPs, clusterIP } = service.spec;
  return wantsClusterIp(service) ? (clusterIPs ?? (clusterIP ? [clusterIP] : [])) : [];
}

/** Node ports, each once, though it may be open for several protocols. */
export function heldPorts({ spec }: Service): readonly number[] {
  const ports = [...(spec.ports ?? []).map(({ nodePort }) => nodePort), spec.healthCheckNodePort];
  return [...new Set(ports.filter((port) => port !== undefined))].filter((port) => port !== 0);
}

export const addressKey = (address: string): string => `${ADDRESS_ALLOCATIONS}${address}`;
export const portKey = (port: number | string): string => `${PORT_ALLOCATIONS}${port}`;

/** The allocation keys a Service holds. */
export function heldKeys(service: Service): readonly string[] {
  return [...heldAddresses(service).map(addressKey), ...heldPorts(service).map(portKey)];
}

/** What an allocation key says of its holder. */
export function holderValue({ metadata }: Service): Uint8Array {
  const { namespace = "", name = "", uid = "" } = metadata;
  return Buffer.from(JSON.stringify({ namespace, name, uid }));
}

const MANAGED_BY = "ipaddress.kubernetes.io/managed-by";
const FAMILY = "ipaddress.kubernetes.io/ip-family";
const IP_ALLOCATOR = "ipallocator.k8s.io";

/** The object that says who has an address, without what the server adds. */
export function ipAddressOf(address: string, { metadata }: Service): IPAddress {
  const { namespace = "", name = "" } = metadata;
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "IPAddress",
    metadata: { name: address, labels: ipAddressLabels(address) },
    spec: { parentRef: { group: "", resource: "services", namespace, name } },
  };
}

export function ipAddressLabels(address: string): Readonly<Record<string, string>> {
  return { [FAMILY]: ipFamily(address) ?? "", [MANAGED_BY]: IP_ALLOCATOR };
}

/** Made by the allocator of Services, not by hand or for something else. */
export function isAllocators({ metadata }: IPAddress): boolean {
  return metadata.labels?.[MANAGED_BY] === IP_ALLOCATOR;
}

/** Undefined when it stands for something that is no Service. */
export function parentService({ spec }: IPAddress): { readonly namespace: string; readonly name: string } | undefined {
  const { group = "", resource, namespace = "", name = "" } = spec?.parentRef ?? {};
  return group === "" && resource === "services" ? { namespace, name } : undefined;
}

/** Undefined for what is no IPv4 address. */
function numberOf(address: string): number | undefined {
  const bytes = parseIp(address);
  return bytes?.length === 4 ? bytes.reduce((sum, byte) => sum * 256 + byte, 0) : undefined;
}
