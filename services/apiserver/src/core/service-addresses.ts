/** Service addresses and node ports: the ranges, who holds what, and where a free one is looked for. Pure. */
import type { Service } from "@pilothouse/api/types/core-v1";
import { parseIp } from "@pilothouse/kinds/ip";

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
  const [address = "", bits = ""] = cidr.split("/");
  const prefix = Number(bits);
  const first = numberOf(address);
  if (first === undefined || !/^\d+$/.test(bits) || prefix > 29 || prefix < 8) {
    throw new Error(`${cidr} is no IPv4 range of /8 to /29`);
  }
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

/** The allocation keys a Service holds. */
export function heldKeys(service: Service): readonly string[] {
  const { spec } = service;
  const addresses = wantsClusterIp(service) ? (spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : [])) : [];
  const ports = [...(spec.ports ?? []).map(({ nodePort }) => nodePort), spec.healthCheckNodePort];
  return [
    ...addresses.map((address) => `${ADDRESS_ALLOCATIONS}${address}`),
    ...new Set(ports.filter((port) => port !== undefined && port !== 0).map((port) => `${PORT_ALLOCATIONS}${port}`)),
  ];
}

/** Undefined for what is no IPv4 address. */
function numberOf(address: string): number | undefined {
  const bytes = parseIp(address);
  return bytes?.length === 4 ? bytes.reduce((sum, byte) => sum * 256 + byte, 0) : undefined;
}
