/**
 * What the proxy must make true, service by service: which addresses and ports stand for which endpoints. Pure; a change of a
 * Service or of one of its EndpointSlices touches that service only.
 */
import type { Service, ServicePort } from "@pilothouse/api/types/core-v1";
import type { Endpoint as SliceEndpoint, EndpointSlice } from "@pilothouse/api/types/discovery-v1";

export type Protocol = "tcp" | "udp" | "sctp";

/** One port of a Service, with all that leads to it and all that it leads to. IPv4 only. */
export interface ServicePortModel {
  /** `tcp-80`: names the port within its service. */
  readonly id: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly clusterIp: string;
  /** External IPs and the addresses of load balancers. */
  readonly externalIps: readonly string[];
  readonly nodePort: number | undefined;
  /** How long a client stays with its endpoint; undefined: every connection is balanced. */
  readonly affinitySeconds: number | undefined;
  /** Where traffic to the cluster IP goes, and where traffic from outside goes: differs by the traffic policies. */
  readonly internal: readonly Endpoint[];
  readonly external: readonly Endpoint[];
  /** Traffic from outside keeps its source address (externalTrafficPolicy Local). */
  readonly keepsSource: boolean;
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
  /** May be of this node: its own traffic may come back to it. */
  readonly maybeHere: boolean;
}

/** Where load balancers ask how many endpoints of a Service this node has. */
export interface HealthCheck {
  readonly port: number;
  readonly localEndpoints: number;
}

interface Candidate extends Endpoint {
  readonly ready: boolean;
  /** Ends, but still answers: used when nothing is ready. */
  readonly lastResort: boolean;
  readonly here: boolean;
  /** Which nodes and zones it was meant for; empty: nobody said. */
  readonly forNodes: readonly string[];
  readonly forZones: readonly string[];
}

/** Where this proxy is. */
export interface Place {
  readonly nodeName: string;
  /** Of the node's label; undefined while it has none. */
  readonly zone: string | undefined;
}

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
const DEFAULT_AFFINITY_SECONDS = 10_800;

export class ServiceIndex {
  #place: Place;
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #serviceOfSlice = new Map<string, string>();

  constructor(nodeName: string) {
    this.#place = { nodeName, zone: undefined };
  }

  /** The node's zone is another: whatever goes by zones is touched. */
  setZone(zone: string | undefined): readonly string[] {
    if (zone === this.#place.zone) return [];
    this.#place = { ...this.#place, zone };
    return [...this.#slices].filter(([, slices]) => [...slices.values()].some(hasHints)).map(([key]) => key);
  }

  /** Each change returns the keys (`namespace/name`) of the services it touches. */
  setService(service: Service): readonly string[] {
    const key = keyOf(service);
    this.#services.set(key, service);
    return [key];
  }

  removeService(service: Service): readonly string[] {
    const key = keyOf(service);
    this.#services.delete(key);
    return [key];
  }

  setSlice(slice: EndpointSlice): readonly string[] {
    const before = this.removeSlice(slice);
    const service = slice.metadata.labels?.[SERVICE_NAME_LABEL];
    if (service === undefined || slice.addressType !== "IPv4") return before;
    const key = `${slice.metadata.namespace}/${service}`;
    const slices = this.#slices.get(key) ?? new Map<string, EndpointSlice>();
    this.#slices.set(key, slices.set(keyOf(slice), slice));
    this.#serviceOfSlice.set(keyOf(slice), key);
    return before.includes(key) ? before : [...before, key];
  }

  removeSlice(slice: EndpointSlice): readonly string[] {
    const key = this.#serviceOfSlice.get(keyOf(slice));
    if (key === undefined) return [];
    this.#serviceOfSlice.delete(keyOf(slice));
    const slices = this.#slices.get(key);
    slices?.delete(keyOf(slice));
    if (slices?.size === 0) this.#slices.delete(key);
    return [key];
  }

  keys(): readonly string[] {
    return [...this.#services.keys()];
  }

  /** The ports of a service; none for one that is gone, headless or an ExternalName. */
  ports(key: string): readonly ServicePortModel[] {
    const service = this.#services.get(key);
    const clusterIp = service && !isOthers(service) && clusterIpOf(service);
    if (!clusterIp) return [];
    const slices = this.#slicesOf(key);
    return (service.spec.ports ?? []).map((port) => portModel(service, clusterIp, port, slices, this.#place));
  }

  /** Undefined for a service whose traffic from outside may go to endpoints of any node. */
  healthCheck(key: string): HealthCheck | undefined {
    const service = this.#services.get(key);
    const { externalTrafficPolicy, healthCheckNodePort: port = 0 } = service?.spec ?? {};
    if (!service || isOthers(service) || externalTrafficPolicy !== "Local" || port === 0) return undefined;
    const here = this.#slicesOf(key)
      .flatMap(({ endpoints }) => endpoints ?? [])
      .filter(({ nodeName, conditions }) => nodeName === this.#place.nodeName && (conditions?.ready ?? true));
    return { port, localEndpoints: new Set(here.flatMap(({ addresses }) => addresses)).size };
  }

  #slicesOf(key: string): readonly EndpointSlice[] {
    return [...(this.#slices.get(key)?.values() ?? [])];
  }
}

/** Labels by which a Service says that another proxy than this one looks after it, or none. */
const OTHERS_LABELS = ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];

function isOthers({ metadata }: Service): boolean {
  return OTHERS_LABELS.some((label) => metadata.labels?.[label] !== undefined);
}

function keyOf({ metadata }: Service | EndpointSlice): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function clusterIpOf({ spec }: Service): string | undefined {
  if (spec.type === "ExternalName") return undefined;
  return (spec.clusterIPs ?? [spec.clusterIP ?? ""]).find((address) => /^\d+(\.\d+){3}$/.test(address));
}

function portModel(
  { spec, status }: Service,
  clusterIp: string,
  port: ServicePort,
  slices: readonly EndpointSlice[],
  place: Place,
): ServicePortModel {
  const protocol = (port.protocol ?? "TCP").toLowerCase() as Protocol;
  const candidates = candidatesOf(slices, port.name ?? "", protocol, place.nodeName);
  const here = candidates.filter((candidate) => candidate.here);
  const ingress = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, ipMode }) =>
    ip !== undefined && ipMode !== "Proxy" ? [ip] : [],
  );
  const keepsSource = spec.externalTrafficPolicy === "Local";
  return {
    id: `${protocol}-${port.port}`,
    protocol,
    port: port.port,
    clusterIp,
    externalIps: [...new Set([...(spec.externalIPs ?? []), ...ingress])].filter((address) => !address.includes(":")),
    nodePort: port.nodePort || undefined,
    affinitySeconds:
      spec.sessionAffinity === "ClientIP"
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
        : undefined,
    internal: chosen(spec.internalTrafficPolicy === "Local" ? here : near(candidates, place)),
    external: chosen(keepsSource ? here : near(candidates, place)),
    keepsSource,
  };
}

/**
 * Those meant for this node, else for its zone, else all: hints count only when every ready endpoint has one and some are for here, so
 * that nobody is left without endpoints. What is not ready yet is no hint's affair. Upstream's topologyModeFromHints.
 */
function near(candidates: readonly Candidate[], { nodeName, zone }: Place): readonly Candidate[] {
  const ready = candidates.filter((candidate) => candidate.ready);
  const meant = (hints: (candidate: Candidate) => readonly string[], here: string): readonly Candidate[] => {
    if (!ready.every((candidate) => hints(candidate).length > 0)) return [];
    return ready.filter((candidate) => hints(candidate).includes(here));
  };
  const forNode = meant((candidate) => candidate.forNodes, nodeName);
  if (forNode.length > 0) return forNode;
  const forZone = zone === undefined ? [] : meant((candidate) => candidate.forZones, zone);
  return forZone.length > 0 ? forZone : candidates;
}

function hasHints({ endpoints }: EndpointSlice): boolean {
  return (endpoints ?? []).some(({ hints }) => (hints?.forZones ?? []).length > 0);
}

/** Ready endpoints; when there are none, those that end but still serve. */
function chosen(candidates: readonly Candidate[]): readonly Endpoint[] {
  const ready = candidates.filter((candidate) => candidate.ready);
  const usable = ready.length > 0 ? ready : candidates.filter((candidate) => candidate.lastResort);
  return usable.map(({ address, port, maybeHere }) => ({ address, port, maybeHere }));
}

/** Every endpoint once: while it moves from one slice to another it is in both. */
function candidatesOf(
  slices: readonly EndpointSlice[],
  portName: string,
  protocol: Protocol,
  nodeName: string,
): readonly Candidate[] {
  const byAddress = new Map<string, Candidate>();
  for (const slice of slices) {
    for (const { name = "", protocol: itsProtocol = "TCP", port } of slice.ports ?? []) {
      if (name !== portName || itsProtocol.toLowerCase() !== protocol || port === undefined) continue;
      for (const endpoint of slice.endpoints ?? []) {
        const [address] = endpoint.addresses;
        if (address === undefined) continue;
        const candidate = candidateOf(endpoint, address, port, nodeName);
        const known = byAddress.get(`${address}:${port}`);
        if (!known || (candidate.ready && !known.ready)) byAddress.set(`${address}:${port}`, candidate);
      }
    }
  }
  return [...byAddress.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, candidate]) => candidate);
}

function candidateOf(endpoint: SliceEndpoint, address: string, port: number, nodeName: string): Candidate {
  const ready = endpoint.conditions?.ready ?? true;
  const serving = endpoint.conditions?.serving ?? ready;
  const terminating = endpoint.conditions?.terminating ?? false;
  const here = endpoint.nodeName === nodeName;
  const maybeHere = here || endpoint.nodeName === undefined;
  const names = (list: readonly { readonly name: string }[] | undefined): readonly string[] =>
    (list ?? []).map(({ name }) => name);
  const { hints } = endpoint;
  const meantFor = { forNodes: names(hints?.forNodes), forZones: names(hints?.forZones) };
  return { address, port, ready, lastResort: serving && terminating, here, maybeHere, ...meantFor };
}
