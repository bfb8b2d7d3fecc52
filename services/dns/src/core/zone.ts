/**
 * The cluster's zone, built from Services and EndpointSlices: which names there are and what they stand for. Pure; one writer
 * (service.ts) feeds it changes. Follows the Kubernetes DNS specification 1.1.
 *
 * Names of pods by address (`1-2-3-4.ns.pod.<domain>`) are computed when asked for: dns needs no Pods.
 */
import type { Service, ServicePort } from "@pilothouse/api/types/core-v1";
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";

export type ZoneRecord =
  | { readonly type: "A" | "AAAA"; readonly address: string }
  | { readonly type: "CNAME"; readonly target: string }
  | { readonly type: "SRV"; readonly port: number; readonly target: string }
  | { readonly type: "PTR"; readonly target: string };

/** What stands behind a name. No records: the name exists, but not with what was asked for (NODATA). */
export type Lookup = { readonly found: true; readonly records: readonly ZoneRecord[] } | { readonly found: false };

const NOT_FOUND: Lookup = { found: false };
const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

interface ServiceEntry {
  readonly service: Service;
  readonly slices: ReadonlyMap<string, EndpointSlice>;
  /** Absolute names below the service's own, computed when a change comes. */
  readonly names: ReadonlyMap<string, readonly ZoneRecord[]>;
  /** Reverse names, for PTR. */
  readonly reverse: ReadonlyMap<string, string>;
}

export class Zone {
  /** `cluster.local` */
  readonly domain: string;
  readonly #ranges: readonly Range[];
  readonly #services = new Map<string, ServiceEntry>();
  /** Slices by service, also of services that are not there (yet). */
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #serviceOfSlice = new Map<string, string>();
  readonly #namespaces = new Map<string, number>();
  readonly #reverse = new Map<string, string>();

  /** `ranges` are the pods' and Services' CIDRs (IPv4): reverse questions about them are never forwarded. */
  constructor(domain: string, ranges: readonly string[]) {
    this.domain = domain;
    this.#ranges = ranges.map(parseRange);
  }

  /** Whether reverse questions about the address are ours alone to answer. */
  ownsAddress(address: string): boolean {
    return this.#ranges.some(({ base, mask }) => (toNumber(address) & mask) === (base & mask));
  }

  setService(service: Service): void {
    const key = `${service.metadata.namespace}/${service.metadata.name}`;
    this.#forget(key);
    this.#remember(key, service);
  }

  removeService(key: string): void {
    this.#forget(key);
  }

  setSlice(slice: EndpointSlice): void {
    const name = `${slice.metadata.namespace}/${slice.metadata.name}`;
    const service = slice.metadata.labels?.[SERVICE_NAME_LABEL];
    const key = service === undefined ? undefined : `${slice.metadata.namespace}/${service}`;
    const before = this.#serviceOfSlice.get(name);
    if (before !== undefined && before !== key) this.removeSlice(name);
    if (key === undefined) return;
    this.#serviceOfSlice.set(name, key);
    const slices = this.#slices.get(key) ?? new Map<string, EndpointSlice>();
    this.#slices.set(key, slices.set(name, slice));
    this.#rebuild(key);
  }

  /** `name` is `namespace/name` of the slice. */
  removeSlice(name: string): void {
    const key = this.#serviceOfSlice.get(name);
    if (key === undefined) return;
    this.#serviceOfSlice.delete(name);
    const slices = this.#slices.get(key);
    slices?.delete(name);
    if (slices?.size === 0) this.#slices.delete(key);
    this.#rebuild(key);
  }

  /** `name` is absolute, lower case, without the last dot, and ends in the zone's domain. */
  lookup(name: string): Lookup {
    if (name === this.domain) return { found: true, records: [] };
    const labels = name.slice(0, -(this.domain.length + 1)).split(".");
    const kind = labels.at(-1);
    if (kind === "svc") return this.#lookupService(name, labels);
    if (kind === "pod") return this.#lookupPod(labels);
    if (kind === "dns-version" && labels.length === 1) return { found: true, records: [] };
    return NOT_FOUND;
  }

  /** PTR by address: the service of a cluster IP, or the name of a headless service's endpoint. */
  reverse(address: string): string | undefined {
    return this.#reverse.get(address);
  }

  #lookupService(name: string, labels: readonly string[]): Lookup {
    if (labels.length === 1) return { found: true, records: [] };
    const namespace = labels.at(-2) as string;
    if (labels.length === 2) return this.#namespaces.has(namespace) ? { found: true, records: [] } : NOT_FOUND;
    const entry = this.#services.get(`${namespace}/${labels.at(-3)}`);
    const records = entry?.names.get(name);
    if (records) return { found: true, records };
    // A name between two others exists, without records of its own (`_tcp.web.default.svc`).
    const isBetween = [...(entry?.names.keys() ?? [])].some((longer) => longer.endsWith(`.${name}`));
    return isBetween ? { found: true, records: [] } : NOT_FOUND;
  }

  #lookupPod(labels: readonly string[]): Lookup {
    const namespace = labels.at(-2);
    if (labels.length === 1) return { found: true, records: [] };
    if (namespace === undefined || !this.#namespaces.has(namespace)) return NOT_FOUND;
    if (labels.length === 2) return { found: true, records: [] };
    const address = (labels[0] as string).replaceAll("-", ".");
    if (labels.length !== 3 || !isIpv4(address)) return NOT_FOUND;
    return { found: true, records: [{ type: "A", address }] };
  }

  #rebuild(key: string): void {
    const entry = this.#services.get(key);
    if (entry) this.setService(entry.service);
  }

  #remember(key: string, service: Service): void {
    const slices = this.#slices.get(key) ?? new Map<string, EndpointSlice>();
    const entry: ServiceEntry = { service, slices, ...namesOf(service, [...slices.values()], this.domain) };
    this.#services.set(key, entry);
    for (const [address, name] of entry.reverse) this.#reverse.set(address, name);
    const namespace = service.metadata.namespace as string;
    this.#namespaces.set(namespace, (this.#namespaces.get(namespace) ?? 0) + 1);
  }

  #forget(key: string): void {
    const entry = this.#services.get(key);
    if (!entry) return;
    this.#services.delete(key);
    for (const [address, name] of entry.reverse) if (this.#reverse.get(address) === name) this.#reverse.delete(address);
    const namespace = entry.service.metadata.namespace as string;
    const left = (this.#namespaces.get(namespace) ?? 1) - 1;
    if (left === 0) this.#namespaces.delete(namespace);
    else this.#namespaces.set(namespace, left);
  }
}

/** Every name of one service, with its records, and the reverse of its addresses. */
function namesOf(
  service: Service,
  slices: readonly EndpointSlice[],
  domain: string,
): { names: ReadonlyMap<string, readonly ZoneRecord[]>; reverse: ReadonlyMap<string, string> } {
  const base = `${service.metadata.name}.${service.metadata.namespace}.svc.${domain}`;
  const names = new Map<string, ZoneRecord[]>();
  const reverse = new Map<string, string>();
  const { type, externalName, clusterIP } = service.spec;
  if (type === "ExternalName") {
    names.set(base, [{ type: "CNAME", target: withoutLastDot(externalName ?? "") }]);
    return { names, reverse };
  }
  if (clusterIP === "None") return headlessNames(base, service, slices);
  if (clusterIP === undefined || clusterIP === "") return { names, reverse };
  const addresses = service.spec.clusterIPs ?? [clusterIP];
  names.set(base, addresses.map(addressRecord));
  for (const address of addresses) reverse.set(address, base);
  for (const port of service.spec.ports ?? []) addSrv(names, base, port, port.port, base);
  return { names, reverse };
}

/** A headless service stands for its ready endpoints, each under a name of its own. */
function headlessNames(
  base: string,
  service: Service,
  slices: readonly EndpointSlice[],
): { names: ReadonlyMap<string, readonly ZoneRecord[]>; reverse: ReadonlyMap<string, string> } {
  const names = new Map<string, ZoneRecord[]>([[base, []]]);
  const reverse = new Map<string, string>();
  const publishAll = service.spec.publishNotReadyAddresses === true;
  for (const slice of slices) {
    if (slice.addressType === "FQDN") continue;
    for (const endpoint of slice.endpoints ?? []) {
      if (!publishAll && endpoint.conditions?.ready === false) continue;
      for (const address of endpoint.addresses) {
        const host = `${endpoint.hostname ?? address.replaceAll(/[.:]/g, "-")}.${base}`;
        push(names, base, addressRecord(address));
        push(names, host, addressRecord(address));
        if (endpoint.hostname) reverse.set(address, host);
        for (const port of slice.ports ?? []) {
          if (port.port !== undefined) addSrv(names, base, port, port.port, host);
        }
      }
    }
  }
  return { names, reverse };
}

function addSrv(
  names: Map<string, ZoneRecord[]>,
  base: string,
  port: { name?: string; protocol?: string } | ServicePort,
  number: number,
  target: string,
): void {
  if (!port.name) return;
  push(names, `_${port.name}._${(port.protocol ?? "TCP").toLowerCase()}.${base}`, {
    type: "SRV",
    port: number,
    target,
  });
}

function push(names: Map<string, ZoneRecord[]>, name: string, record: ZoneRecord): void {
  const records = names.get(name);
  if (records) records.push(record);
  else names.set(name, [record]);
}

function addressRecord(address: string): ZoneRecord {
  return { type: address.includes(":") ? "AAAA" : "A", address };
}

function withoutLastDot(name: string): string {
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

function isIpv4(text: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(text) && text.split(".").every((part) => Number(part) <= 255);
}

interface Range {
  readonly base: number;
  readonly mask: number;
}

function parseRange(cidr: string): Range {
  const [base = "0.0.0.0", bits = "32"] = cidr.split("/");
  return { base: toNumber(base), mask: bits === "0" ? 0 : -1 << (32 - Number(bits)) };
}

function toNumber(address: string): number {
  return address.split(".").reduce((number, part) => (number << 8) | Number(part), 0);
}
