/**
 * The EndpointSlices that say what hand-written Endpoints say, for those who look at slices only (proxy, dns). Pure; upstream's
 * endpointslicemirroring.
 */
import type { EndpointAddress, Endpoints, EndpointSubset, Service } from "@pilothouse/api/types/core-v1";
import type { Endpoint, EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { controllerReference } from "../../core/ownership.ts";
import { canonicalJson } from "../../core/values.ts";

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
export const MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by";
export const MANAGED_BY = "endpointslicemirroring-controller.k8s.io";

export interface MirrorPlan {
  /** Without names. */
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly delete: readonly EndpointSlice[];
}

const MAX_ENDPOINTS_PER_SLICE = 100;
/** Of a subset; what is beyond is not mirrored. */
const MAX_ENDPOINTS_PER_SUBSET = 1_000;
const SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror";
/** Objects of old elections look like Endpoints and are none. */
const ELECTION_ANNOTATION = "control-plane.alpha.kubernetes.io/leader";
/** Annotations that speak of the Endpoints object itself. */
const OWN_ANNOTATIONS: readonly string[] = [
  "endpoints.kubernetes.io/last-change-trigger-time",
  "kubectl.kubernetes.io/last-applied-configuration",
];

/** Endpoints that somebody writes for a Service without a selector, and has not marked as not to be mirrored. */
export function isMirrored({ metadata }: Endpoints, service: Pick<Service, "spec">): boolean {
  if (metadata.labels?.[SKIP_LABEL] === "true" || metadata.annotations?.[ELECTION_ANNOTATION] !== undefined)
    return false;
  return Object.keys(service.spec?.selector ?? {}).length === 0;
}

/** @param slices those that mirror these Endpoints now */
export function plan(endpoints: Endpoints, slices: readonly EndpointSlice[]): MirrorPlan {
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const unused = new Set(slices);
  for (const group of groupsOf(endpoints)) {
    const there = slices.filter((slice) => groupKey(slice.addressType, slice.ports ?? []) === group.key);
    for (const chunk of chunks(group.endpoints)) {
      const wanted = sliceOf(endpoints, group, chunk);
      const slice = there.shift();
      if (!slice) create.push(wanted);
      else {
        unused.delete(slice);
        if (!says(slice, wanted)) update.push({ ...wanted, metadata: { ...slice.metadata, ...copied(endpoints) } });
      }
    }
  }
  return { create, update, delete: [...unused] };
}

interface Group {
  readonly key: string;
  readonly addressType: "IPv4" | "IPv6";
  readonly ports: readonly object[];
  readonly endpoints: Endpoint[];
}

/** Addresses by family and ports: subsets that share both are one group. */
function groupsOf({ subsets = [] }: Endpoints): readonly Group[] {
  const groups = new Map<string, Group>();
  for (const subset of subsets) {
    const ports = (subset.ports ?? []).map(({ name = "", ...port }) => ({ name, protocol: "TCP", ...port }));
    for (const { address, ready } of addressesOf(subset)) {
      const addressType = address.ip.includes(":") ? "IPv6" : "IPv4";
      const key = groupKey(addressType, ports);
      const group = groups.get(key) ?? { key, addressType, ports, endpoints: [] };
      group.endpoints.push(endpointOf(address, ready));
      groups.set(key, group);
    }
  }
  return [...groups.values()];
}

function addressesOf(
  subset: EndpointSubset,
): readonly { readonly address: EndpointAddress; readonly ready: boolean }[] {
  const marked = (addresses: readonly EndpointAddress[] | undefined, ready: boolean) =>
    (addresses ?? []).map((address) => ({ address, ready }));
  const all = [...marked(subset.addresses, true), ...marked(subset.notReadyAddresses, false)];
  return all.slice(0, MAX_ENDPOINTS_PER_SUBSET);
}

function endpointOf({ ip, hostname, nodeName, targetRef }: EndpointAddress, ready: boolean): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    ...(targetRef ? { targetRef } : {}),
  };
}

function* chunks(endpoints: readonly Endpoint[]): Generator<readonly Endpoint[]> {
  for (let at = 0; at < endpoints.length; at += MAX_ENDPOINTS_PER_SLICE) {
    yield endpoints.slice(at, at + MAX_ENDPOINTS_PER_SLICE);
  }
}

function sliceOf(endpoints: Endpoints, { addressType, ports }: Group, chunk: readonly Endpoint[]): EndpointSlice {
  const { name = "", namespace = "" } = endpoints.metadata;
  return {
    metadata: {
      generateName: `${name}-`,
      namespace,
      ...copied(endpoints),
      ownerReferences: [controllerReference({ ...endpoints, apiVersion: "v1", kind: "Endpoints" })],
    },
    addressType,
    endpoints: [...chunk],
    ports: [...ports],
  };
}

/** What of the Endpoints' own metadata is the slice's too. */
function copied({ metadata }: Endpoints): { labels: Record<string, string>; annotations: Record<string, string> } {
  const annotations = Object.entries(metadata.annotations ?? {}).filter(([key]) => !OWN_ANNOTATIONS.includes(key));
  return {
    labels: { ...metadata.labels, [SERVICE_NAME_LABEL]: metadata.name ?? "", [MANAGED_BY_LABEL]: MANAGED_BY },
    annotations: Object.fromEntries(annotations),
  };
}

function says(slice: EndpointSlice, wanted: EndpointSlice): boolean {
  return (
    sameValue(slice.endpoints ?? [], wanted.endpoints) &&
    sameValue(slice.metadata.labels, wanted.metadata.labels) &&
    sameValue(slice.metadata.annotations ?? {}, wanted.metadata.annotations)
  );
}

function groupKey(addressType: string, ports: readonly object[]): string {
  return `${addressType} ${ports
    .map((port) => canonicalJson(port))
    .sort()
    .join()}`;
}
