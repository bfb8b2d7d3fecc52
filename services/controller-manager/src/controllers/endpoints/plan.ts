/** The Endpoints object of a Service, which old clients still read: addresses by ports. Pure; upstream's endpoints controller. */
import type { EndpointAddress, Endpoints, EndpointSubset, Pod, Service } from "@pilothouse/api/types/core-v1";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { canonicalJson } from "../../core/values.ts";
import {
  backendPorts,
  backends,
  hostnameOf,
  inheritedLabels,
  isHeadless,
  takesTraffic,
} from "../endpointslice/rules.ts";

const MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by";
const OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity";
const MAX_ADDRESSES = 1_000;

/** The object as it should be; undefined when `existing` is so already. */
export function plan(service: Service, pods: readonly Pod[], existing: Endpoints | undefined): Endpoints | undefined {
  const { name = "", namespace = "" } = service.metadata;
  const { subsets, isTruncated } = subsetsOf(service, pods);
  const { [OVER_CAPACITY]: _before, ...annotations } = existing?.metadata.annotations ?? {};
  const wantedAnnotations = isTruncated ? { ...annotations, [OVER_CAPACITY]: "truncated" } : annotations;
  const labels = { ...inheritedLabels(service), [MANAGED_BY_LABEL]: "endpoint-controller" };
  const isSame =
    existing !== undefined &&
    sameValue(subsets, existing.subsets ?? []) &&
    sameValue(labels, existing.metadata.labels ?? {}) &&
    sameValue(wantedAnnotations, existing.metadata.annotations ?? {});
  if (isSame) return undefined;
  return { metadata: { ...existing?.metadata, name, namespace, labels, annotations: wantedAnnotations }, subsets };
}

function subsetsOf(
  service: Service,
  pods: readonly Pod[],
): { readonly subsets: EndpointSubset[]; readonly isTruncated: boolean } {
  const family = service.spec?.ipFamilies?.[0] ?? "IPv4";
  const published = service.spec?.publishNotReadyAddresses === true;
  const standing = backends(service, pods).filter(
    ({ metadata }) => published || metadata.deletionTimestamp === undefined,
  );
  // Ready ones first: those are cut last.
  const all = standing.sort((a, b) => Number(takesTraffic(service, b)) - Number(takesTraffic(service, a)));
  const byPorts = new Map<string, EndpointSubset>();
  for (const pod of all.slice(0, MAX_ADDRESSES)) {
    const address = addressOf(service, pod, family);
    const ports = backendPorts(service, pod);
    if (!address || (ports.length === 0 && !isHeadless(service))) continue;
    const named = ports.map(({ name, ...port }) => (name === "" ? port : { name, ...port }));
    const key = canonicalJson(named);
    const subset: EndpointSubset = byPorts.get(key) ?? (named.length > 0 ? { ports: named } : {});
    const list = takesTraffic(service, pod) ? "addresses" : "notReadyAddresses";
    byPorts.set(key, { ...subset, [list]: [...(subset[list] ?? []), address] });
  }
  return { subsets: [...byPorts.values()].map(sorted).sort(byText), isTruncated: all.length > MAX_ADDRESSES };
}

function addressOf(service: Service, pod: Pod, family: string): EndpointAddress | undefined {
  const ips = (pod.status?.podIPs ?? [{ ip: pod.status?.podIP ?? "" }]).map(({ ip }) => ip);
  const ip = ips.find((candidate) => candidate !== "" && candidate.includes(":") === (family === "IPv6"));
  if (ip === undefined) return undefined;
  const { name = "", namespace = "", uid = "" } = pod.metadata;
  const hostname = hostnameOf(service, pod);
  return {
    ip,
    ...(hostname === undefined ? {} : { hostname }),
    ...(pod.spec.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

function sorted(subset: EndpointSubset): EndpointSubset {
  const inOrder = (addresses: readonly EndpointAddress[]): EndpointAddress[] => [...addresses].sort(byText);
  return {
    ...(subset.addresses ? { addresses: inOrder(subset.addresses) } : {}),
    ...(subset.notReadyAddresses ? { notReadyAddresses: inOrder(subset.notReadyAddresses) } : {}),
    ...(subset.ports ? { ports: subset.ports } : {}),
  };
}

function byText(a: object, b: object): number {
  return canonicalJson(a) < canonicalJson(b) ? -1 : 1;
}
