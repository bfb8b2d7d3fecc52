/** What a ServiceCIDR needs next: upstream's service-cidr-controller. Pure. */
import type { IPAddress, ServiceCIDR } from "@pilothouse/api/types/networking-v1";
import { ipFamily, isWithin } from "@pilothouse/kinds/ip";

export const SERVICE_CIDR_FINALIZER = "networking.k8s.io/service-cidr-finalizer";

export type ServiceCidrAction =
  | { readonly do: "nothing" }
  | { readonly do: "add finalizer" }
  | { readonly do: "tell ready" }
  /** Services would be left without a range. */
  | { readonly do: "tell terminating" }
  /** Nobody needs it: the finalizer goes. What this rests on is an absence, so it is planned again on what the API itself says. */
  | { readonly do: "let go" };

export interface World {
  /** All of them; the range itself is not counted. */
  readonly ranges: readonly ServiceCIDR[];
  readonly addresses: readonly IPAddress[];
}

export function plan(range: ServiceCIDR, world: World): ServiceCidrAction {
  const isProtected = (range.metadata.finalizers ?? []).includes(SERVICE_CIDR_FINALIZER);
  if (range.metadata.deletionTimestamp === undefined) {
    if (!isProtected) return { do: "add finalizer" };
    return readiness(range)?.status === "True" ? { do: "nothing" } : { do: "tell ready" };
  }
  if (!isProtected) return { do: "nothing" };
  if (!wouldOrphan(range, world)) return { do: "let go" };
  const { status, reason } = readiness(range) ?? {};
  return status === "False" && reason === "Terminating" ? { do: "nothing" } : { do: "tell terminating" };
}

export function withReadiness(range: ServiceCIDR, isReady: boolean, now: string): ServiceCIDR {
  const others = (range.status?.conditions ?? []).filter(({ type }) => type !== "Ready");
  const ready = {
    type: "Ready",
    lastTransitionTime: now,
    ...(isReady
      ? { status: "True", reason: "", message: "Kubernetes Service CIDR is ready" }
      : {
          status: "False",
          reason: "Terminating",
          message:
            "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
        }),
  };
  return { ...range, status: { ...range.status, conditions: [...others, ready] } };
}

/**
 * True when some address of a Service would be in no range without this one. A range that is on its way out itself, which
 * upstream would count, is no home for what this one leaves: of two equal ones that are deleted together one must stay.
 */
function wouldOrphan(range: ServiceCIDR, { ranges, addresses }: World): boolean {
  const { name, uid } = range.metadata;
  const staying = ranges
    .filter(
      ({ metadata }) => metadata.deletionTimestamp === undefined && metadata.uid !== uid && metadata.name !== name,
    )
    .flatMap(({ spec }) => spec?.cidrs ?? []);
  const own = range.spec?.cidrs ?? [];
  return addresses.some(({ metadata }) => {
    if (metadata.labels?.["ipaddress.kubernetes.io/managed-by"] !== "ipallocator.k8s.io") return false;
    const isIn = (cidr: string): boolean => contains(cidr, metadata.name ?? "");
    return own.some(isIn) && !staying.some(isIn);
  });
}

function contains(cidr: string, address: string): boolean {
  const host = `${address}/${ipFamily(address) === "IPv6" ? 128 : 32}`;
  return cidr === host || isWithin(host, cidr);
}

function readiness({ status }: ServiceCIDR) {
  return (status?.conditions ?? []).find(({ type }) => type === "Ready");
}
