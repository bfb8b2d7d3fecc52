/**
 * The EndpointSlices of a Service: each backend in exactly one slice of its address family and ports, at most 100 a slice, with as
 * few writes as that takes. Pure; upstream's endpointslice/reconciler.go.
 */
import type { Pod, Service } from "@pilothouse/api/types/core-v1";
import type { Endpoint, EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { controllerReference } from "../../core/ownership.ts";
import { isPodReady } from "../../core/pods.ts";
import { canonicalJson } from "../../core/values.ts";
import { backendPorts, backends, hintsOf, hostnameOf, inheritedLabels, type BackendPort } from "./rules.ts";

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
export const MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by";
export const MANAGED_BY = "endpointslice-controller.k8s.io";

export interface SlicePlan {
  /** Without names. */
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly delete: readonly EndpointSlice[];
}

const MAX_ENDPOINTS = 100;

/**
 * @param slices those that this controller keeps for the Service
 * @param zoneOf the zone of a node, if it has one
 */
export function plan(
  service: Service,
  pods: readonly Pod[],
  slices: readonly EndpointSlice[],
  zoneOf: (nodeName: string) => string | undefined,
): SlicePlan {
  const wanted = groups(service, pods, zoneOf);
  const left = new Map(wanted.map((group) => [groupKey(group), group]));
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const remove: EndpointSlice[] = [];
  const byGroup = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    const key = groupKey({ addressType: slice.addressType, ports: slice.ports ?? [] });
    if (left.has(key)) byGroup.set(key, [...(byGroup.get(key) ?? []), slice]);
    else remove.push(slice);
  }
  for (const [key, group] of left) {
    const packed = pack(service, group, byGroup.get(key) ?? []);
    create.push(...packed.create);
    update.push(...packed.update);
    remove.push(...packed.delete);
  }
  return { create, update, delete: remove };
}

interface Group {
  readonly addressType: string;
  readonly ports: readonly BackendPort[];
  readonly endpoints: readonly Endpoint[];
}

/** Backends by address family and ports. Without any, one empty slice says that the Service was looked at. */
function groups(service: Service, pods: readonly Pod[], zoneOf: (node: string) => string | undefined): Group[] {
  const families = service.spec?.ipFamilies ?? ["IPv4"];
  return families.flatMap((addressType) => {
    const byPorts = new Map<string, { ports: readonly BackendPort[]; endpoints: Endpoint[] }>();
    for (const pod of backends(service, pods)) {
      const endpoint = endpointOf(service, pod, addressType, zoneOf);
      if (!endpoint) continue;
      const ports = backendPorts(service, pod);
      const key = canonicalJson(ports);
      const group = byPorts.get(key) ?? { ports, endpoints: [] };
      group.endpoints.push(endpoint);
      byPorts.set(key, group);
    }
    if (byPorts.size === 0) return [{ addressType, ports: [], endpoints: [] }];
    return [...byPorts.values()].map((group) => ({ addressType, ...group }));
  });
}

function endpointOf(
  service: Service,
  pod: Pod,
  addressType: string,
  zoneOf: (node: string) => string | undefined,
): Endpoint | undefined {
  const { name = "", namespace = "", uid = "", deletionTimestamp } = pod.metadata;
  const addresses = (pod.status?.podIPs ?? [{ ip: pod.status?.podIP ?? "" }])
    .map(({ ip }) => ip)
    .filter((ip) => ip !== "" && ip.includes(":") === (addressType === "IPv6"));
  if (addresses.length === 0) return undefined;
  const serving = isPodReady(pod);
  const terminating = deletionTimestamp !== undefined;
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const hostname = hostnameOf(service, pod);
  const { nodeName } = pod.spec;
  const zone = nodeName ? zoneOf(nodeName) : undefined;
  return {
    addresses,
    conditions: { ready, serving, terminating },
    ...(hostname === undefined ? {} : { hostname }),
    targetRef: { kind: "Pod", namespace, name, uid },
    ...(nodeName ? { nodeName } : {}),
    ...(zone === undefined ? {} : { zone }),
    ...hintsOf(service, ready, nodeName, zone),
  };
}

/** Endpoints stay in the slice they are in; new ones go into slices that change anyway, then into those with room. */
function pack(service: Service, group: Group, slices: readonly EndpointSlice[]): SlicePlan {
  const unplaced = new Map(group.endpoints.map((endpoint) => [endpointKey(endpoint), endpoint]));
  const drafts = slices.map((slice) => {
    const kept = (slice.endpoints ?? []).flatMap((endpoint) => {
      const wanted = unplaced.get(endpointKey(endpoint));
      unplaced.delete(endpointKey(endpoint));
      return wanted ? [wanted] : [];
    });
    return { slice, kept, changes: !sameValue(kept, slice.endpoints ?? []) };
  });
  const news = [...unplaced.values()];
  const fill = (draft: (typeof drafts)[number]): void => {
    const added = news.splice(0, Math.max(0, MAX_ENDPOINTS - draft.kept.length));
    if (added.length === 0) return;
    draft.kept.push(...added);
    draft.changes = true;
  };
  for (const draft of drafts) if (draft.changes) fill(draft);
  if (news.length < MAX_ENDPOINTS) for (const draft of drafts) if (!draft.changes) fill(draft);
  const empty = drafts.filter(({ kept }) => kept.length === 0);
  // One empty slice stays where there is nothing to say.
  const surplus = group.endpoints.length > 0 ? empty : empty.slice(1);
  const create: EndpointSlice[] = [];
  while (news.length > 0) create.push(sliceOf(service, group, news.splice(0, MAX_ENDPOINTS)));
  if (slices.length === 0 && group.endpoints.length === 0) create.push(sliceOf(service, group, []));
  const update = drafts
    .filter((draft) => !surplus.includes(draft))
    .filter(({ slice, changes }) => changes || !sameValue(labelsOf(service), slice.metadata.labels))
    .map(({ slice, kept }) => ({
      ...slice,
      metadata: { ...slice.metadata, labels: labelsOf(service) },
      endpoints: kept,
    }));
  return { create, update, delete: surplus.map(({ slice }) => slice) };
}

function sliceOf(service: Service, { addressType, ports }: Group, endpoints: Endpoint[]): EndpointSlice {
  const { name = "", namespace = "" } = service.metadata;
  return {
    metadata: {
      generateName: `${name}-`,
      namespace,
      labels: labelsOf(service),
      ownerReferences: [controllerReference({ ...service, apiVersion: "v1", kind: "Service" })],
    },
    addressType,
    endpoints,
    ports: [...ports],
  };
}

function labelsOf(service: Service): Record<string, string> {
  const own = { [SERVICE_NAME_LABEL]: service.metadata.name ?? "", [MANAGED_BY_LABEL]: MANAGED_BY };
  return { ...inheritedLabels(service), ...own };
}

function groupKey({ addressType, ports }: { readonly addressType: string; readonly ports: readonly object[] }): string {
  return `${addressType} ${ports
    .map((port) => canonicalJson(port))
    .sort()
    .join()}`;
}

/** The same backend, whatever its state. */
function endpointKey({ addresses, targetRef, nodeName, hostname }: Endpoint): string {
  return canonicalJson([addresses, targetRef?.uid, nodeName, hostname]);
}
