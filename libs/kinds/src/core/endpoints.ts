import type { EndpointAddress, Endpoints, EndpointSubset } from "@pilothouse/api/types/core-v1";
import { checkDns1123Label, checkDns1123Subdomain, checkPortNumber } from "@pilothouse/selectors/names";
import { AGE, orNone, shown } from "../columns.ts";
import { firstErrors, invalidEach, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { checkIp, checkNonSpecialIp, parseIp } from "../ip.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { protocolRules } from "../port-rules.ts";

/** More are counted only. */
const ADDRESSES_SHOWN = 3;

export const endpoints: KindDefinition<Endpoints> = {
  group: "",
  version: "v1",
  kind: "Endpoints",
  resource: "endpoints",
  singular: "endpoints",
  shortNames: ["ep"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: ({ subsets }) => {
    for (const { ports } of subsets ?? []) for (const port of ports ?? []) port.protocol ||= "TCP";
  },
  validate: ({ subsets }) => firstErrors(subsetsRules(subsets ?? [])),
  deprecation: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
  columns: [
    shown("Endpoints", ({ subsets }) => endpointsText(subsets ?? []), "Addresses and ports that are ready."),
    AGE,
  ],
  ageColumn: false,
};

function* subsetsRules(subsets: readonly EndpointSubset[]): FieldErrors {
  for (const [i, subset] of subsets.entries()) yield* rules(subset, `subsets[${i}]`);
}

function* rules({ addresses = [], notReadyAddresses = [], ports = [] }: EndpointSubset, path: string): FieldErrors {
  if (addresses.length === 0 && notReadyAddresses.length === 0) {
    yield required(path, "must specify `addresses` or `notReadyAddresses`");
  }
  for (const [index, address] of addresses.entries()) yield* addressRules(address, `${path}.addresses[${index}]`);
  for (const [index, address] of notReadyAddresses.entries()) {
    yield* addressRules(address, `${path}.notReadyAddresses[${index}]`);
  }
  for (const [index, { name, port, protocol }] of ports.entries()) {
    const at = `${path}.ports[${index}]`;
    if (!name && ports.length > 1) yield required(`${at}.name`);
    else if (name) yield* invalidEach(`${at}.name`, name, checkDns1123Label(name));
    yield* invalidEach(`${at}.port`, port ?? 0, checkPortNumber(port ?? 0));
    yield* protocolRules(protocol, `${at}.protocol`);
  }
}

function* addressRules({ ip, hostname, nodeName }: EndpointAddress, path: string): FieldErrors {
  if (parseIp(ip ?? "")) yield* invalidEach(`${path}.ip`, ip, checkNonSpecialIp(ip));
  else yield* invalidEach(`${path}.ip`, ip ?? "", checkIp(ip ?? ""));
  if (hostname) yield* invalidEach(`${path}.hostname`, hostname, checkDns1123Label(hostname));
  if (nodeName !== undefined) yield* invalidEach(`${path}.nodeName`, nodeName, checkDns1123Subdomain(nodeName));
}

function endpointsText(subsets: readonly EndpointSubset[]): string {
  const all = subsets.flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0
      ? addresses.map(({ ip }) => ip)
      : ports.flatMap(({ port }) =>
          addresses.map(({ ip }) => (ip?.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`)),
        ),
  );
  const more = all.length - ADDRESSES_SHOWN;
  const text = all.slice(0, ADDRESSES_SHOWN).join(",");
  return orNone(more > 0 ? `${text} + ${more} more...` : text);
}
