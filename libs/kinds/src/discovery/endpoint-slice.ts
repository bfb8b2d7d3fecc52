import type { Endpoint, EndpointPort, EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { checkDns1123Label, checkDns1123Subdomain, checkQualifiedName } from "@pilothouse/selectors/names";
import { AGE, shown } from "../columns.ts";
import {
  firstErrors,
  duplicate,
  immutable,
  invalid,
  invalidEach,
  oneOf,
  required,
  sameValue,
  tooMany,
} from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { checkNonSpecialIp, ipFamily } from "../ip.ts";
import { startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { protocolRules } from "../port-rules.ts";

const MAX_ENDPOINTS = 1000;
const MAX_PORTS = 20_000;
const MAX_ADDRESSES = 100;
/** More are counted only. */
const ITEMS_SHOWN = 3;

export const endpointSlice: KindDefinition<EndpointSlice> = {
  group: "discovery.k8s.io",
  version: "v1",
  kind: "EndpointSlice",
  resource: "endpointslices",
  singular: "endpointslice",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: (slice) => {
    slice.endpoints ??= [];
    slice.ports ??= [];
    for (const port of slice.ports) {
      port.name ??= "";
      port.protocol ||= "TCP";
    }
  },
  prepareForCreate: startGeneration,
  prepareForUpdate: (slice, old) => {
    const { metadata: meta, ...rest } = slice;
    const { metadata: oldMeta, ...oldRest } = old;
    const same = sameValue(rest, oldRest) && sameValue(meta.labels ?? {}, oldMeta.labels ?? {});
    meta.generation = (oldMeta.generation ?? 0) + (same ? 0 : 1);
  },
  validate: (slice) => firstErrors(rules(slice)),
  validateUpdate: (slice, old) => firstErrors(immutable("addressType", slice.addressType, old.addressType)),
  columns: [
    shown("AddressType", ({ addressType }) => addressType, "The kind of its addresses."),
    shown("Ports", ({ ports }) => listText((ports ?? []).map(portText)), "Its ports."),
    shown(
      "Endpoints",
      ({ endpoints }) => listText((endpoints ?? []).flatMap(({ addresses }) => addresses)),
      "Its addresses.",
    ),
    AGE,
  ],
  ageColumn: false,
};

function* rules({ addressType, endpoints, ports }: EndpointSlice): FieldErrors {
  yield* oneOf("addressType", addressType, ["FQDN", "IPv4", "IPv6"]);
  if (endpoints.length > MAX_ENDPOINTS) yield tooMany("endpoints", endpoints.length, MAX_ENDPOINTS);
  else {
    for (const [index, endpoint] of endpoints.entries()) {
      yield* endpointRules(endpoint, addressType, `endpoints[${index}]`);
    }
  }
  yield* portsRules(ports);
}

function* endpointRules(endpoint: Endpoint, addressType: string, path: string): FieldErrors {
  const { hostname, nodeName } = endpoint;
  const addresses = endpoint.addresses ?? [];
  if (addresses.length === 0) yield required(`${path}.addresses`, "must contain at least 1 address");
  if (addresses.length > MAX_ADDRESSES) yield tooMany(`${path}.addresses`, addresses.length, MAX_ADDRESSES);
  for (const [index, address] of addresses.entries()) {
    yield* addressRules(address, addressType, `${path}.addresses[${index}]`);
  }
  if (hostname) yield* invalidEach(`${path}.hostname`, hostname, checkDns1123Label(hostname));
  if (nodeName !== undefined) yield* invalidEach(`${path}.nodeName`, nodeName, checkDns1123Subdomain(nodeName));
  const zones = new Set<string>();
  for (const [index, { name }] of (endpoint.hints?.forZones ?? []).entries()) {
    const at = `${path}.hints.forZones[${index}].name`;
    if (zones.has(name)) yield duplicate(at, name);
    zones.add(name);
  }
}

function* addressRules(address: string, addressType: string, path: string): FieldErrors {
  if (addressType === "FQDN") yield* invalidEach(path, address, checkDns1123Subdomain(address));
  else if (addressType === "IPv4" || addressType === "IPv6") {
    if (ipFamily(address) === addressType) yield* invalidEach(path, address, checkNonSpecialIp(address));
    else yield invalid(path, address, `must be a valid ${addressType} address`);
  }
}

function* portsRules(ports: readonly EndpointPort[]): FieldErrors {
  if (ports.length > MAX_PORTS) {
    yield tooMany("ports", ports.length, MAX_PORTS);
    return;
  }
  const names = new Set<string>();
  for (const [index, { name = "", protocol, appProtocol }] of ports.entries()) {
    const at = `ports[${index}]`;
    if (name !== "") yield* invalidEach(`${at}.name`, name, checkDns1123Label(name));
    if (names.has(name)) yield duplicate(`${at}.name`, name);
    names.add(name);
    yield* protocolRules(protocol, `${at}.protocol`);
    if (appProtocol !== undefined)
      yield* invalidEach(`${at}.appProtocol`, appProtocol, checkQualifiedName(appProtocol));
  }
}

function portText({ port, name }: EndpointPort): string {
  return port === undefined ? name || "*" : String(port);
}

function listText(items: readonly string[]): string {
  if (items.length === 0) return "<unset>";
  const text = items.slice(0, ITEMS_SHOWN).join(",");
  return items.length > ITEMS_SHOWN ? `${text} + ${items.length - ITEMS_SHOWN} more...` : text;
}
