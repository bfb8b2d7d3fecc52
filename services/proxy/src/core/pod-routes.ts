/**
 * How this node reaches the pods of the others: by a plain route where they share a link, through a VXLAN tunnel where they do
 * not. Pure. Only IPv4.
 *
 * The tunnel learns nothing by flooding: each node's end has the hardware address that follows from the node's own address, so
 * that a peer is known by its Node object alone.
 */
import type { Node } from "@pilothouse/api/types/core-v1";

/** `auto`: a tunnel only to nodes that are not on one of this node's links. */
export type PodNetworkMode = "auto" | "direct" | "tunnel";

export interface PodRoute {
  /** The other node's share of the pods' range. */
  readonly podCidr: string;
  /** The other node's address. */
  readonly nodeAddress: string;
  readonly way: "direct" | "tunnel";
}

export interface PodNetwork {
  readonly nodeName: string;
  readonly mode: PodNetworkMode;
  /** CIDRs of this node's own links. */
  readonly links: readonly string[];
}

/** One route for each other node that has a share of the pods' range and an address; by `podCidr`, sorted. */
export function planPodRoutes(nodes: readonly Node[], { nodeName, mode, links }: PodNetwork): readonly PodRoute[] {
  const others = nodes.filter(({ metadata }) => metadata.name !== nodeName && metadata.deletionTimestamp === undefined);
  return others
    .flatMap((node): PodRoute[] => {
      const nodeAddress = internalAddress(node);
      const podCidr = podCidrOf(node);
      if (nodeAddress === undefined || podCidr === undefined) return [];
      const near = links.some((link) => contains(link, nodeAddress));
      return [{ podCidr, nodeAddress, way: mode === "tunnel" || (mode === "auto" && !near) ? "tunnel" : "direct" }];
    })
    .toSorted((a, b) => (a.podCidr < b.podCidr ? -1 : 1));
}

export interface RouteChanges {
  readonly put: readonly PodRoute[];
  readonly remove: readonly PodRoute[];
}

/** What makes `actual` into `wanted`; a route that leads elsewhere is put, which replaces it. */
export function routeChanges(wanted: readonly PodRoute[], actual: readonly PodRoute[]): RouteChanges {
  const same = (a: PodRoute, b: PodRoute): boolean =>
    a.podCidr === b.podCidr && a.nodeAddress === b.nodeAddress && a.way === b.way;
  return {
    put: wanted.filter((route) => !actual.some((there) => same(route, there))),
    remove: actual.filter((there) => !wanted.some(({ podCidr }) => podCidr === there.podCidr)),
  };
}

/** The hardware address of a node's end of the tunnel: locally administered, from the node's IPv4 address. */
export function tunnelHardwareAddress(nodeAddress: string): string {
  const bytes = nodeAddress.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return ["0e", "50", ...bytes].join(":");
}

/** The first address of a share: no pod has it, so the node's end of the tunnel does. */
export function tunnelAddress(podCidr: string): string {
  return podCidr.slice(0, podCidr.indexOf("/"));
}

function internalAddress({ status }: Node): string | undefined {
  return status?.addresses?.find(({ type, address }) => type === "InternalIP" && isIpv4(address))?.address;
}

export function podCidrOf({ spec }: Node): string | undefined {
  return [...(spec?.podCIDRs ?? []), spec?.podCIDR ?? ""].find((cidr) => isIpv4(cidr.split("/")[0] ?? ""));
}

function contains(cidr: string, address: string): boolean {
  const [network = "", length = "32"] = cidr.split("/");
  const mask = length === "0" ? 0 : (0xffffffff << (32 - Number(length))) >>> 0;
  return (numberOf(network) & mask) >>> 0 === (numberOf(address) & mask) >>> 0;
}

function numberOf(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function isIpv4(text: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(text);
}
