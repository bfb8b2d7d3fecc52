import type { TypedLocalObjectReference } from "@pilothouse/api/types/core-v1";
import type {
  HTTPIngressPath,
  Ingress,
  IngressBackend,
  IngressSpec,
  IngressStatus,
} from "@pilothouse/api/types/networking-v1";
import { checkDns1123Subdomain, checkPathSegment, checkWildcardDns1123Subdomain } from "@pilothouse/selectors/names";
import { AGE, orNone, shown } from "../columns.ts";
import { firstErrors, invalid, invalidEach, notSupported, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { checkIp, parseIp } from "../ip.ts";
import { keepField, nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { serviceName, subdomainName } from "../names.ts";
import { portRules } from "../port-rules.ts";
import { STATUS } from "../subresources.ts";

const CLASS_ANNOTATION = "kubernetes.io/ingress.class";
const PATH_TYPES = ["Exact", "ImplementationSpecific", "Prefix"];
const BAD_SEQUENCES = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_SUFFIXES = ["/..", "/."];
/** More are counted only. */
const HOSTS_SHOWN = 3;
const NO_IP = "must be a DNS name, not an IP address";

export const ingress: KindDefinition<Ingress> = {
  group: "networking.k8s.io",
  version: "v1",
  kind: "Ingress",
  resource: "ingresses",
  singular: "ingress",
  shortNames: ["ing"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  defaults: (ingress) => {
    ingress.spec ??= {};
  },
  prepareForCreate: (ingress) => {
    startGeneration(ingress);
    delete ingress.status;
  },
  prepareForUpdate: (ingress, old) => {
    keepField(ingress, old, "status");
    nextGeneration(ingress, old);
  },
  prepareForStatusUpdate: (ingress, old) => keepField(ingress, old, "spec"),
  validate: ({ spec }) => firstErrors(rules(spec)),
  validateCreate: (ingress) => firstErrors(classRules(ingress)),
  validateStatusUpdate: ({ status }) => firstErrors(statusRules(status)),
  columns: [
    shown("Class", ({ spec }) => orNone(spec.ingressClassName), "Which controller it is for."),
    shown("Hosts", ({ spec }) => hostsText(spec), "The hosts that it names."),
    shown("Address", ({ status }) => addressText(status), "Where it is served."),
    shown("Ports", ({ spec }) => ((spec.tls ?? []).length > 0 ? "80, 443" : "80"), "On which ports."),
    AGE,
  ],
  ageColumn: false,
};

/** Once there are both, they say the same. */
function* classRules({ metadata, spec }: Ingress): FieldErrors {
  const annotation = metadata.annotations?.[CLASS_ANNOTATION];
  if (annotation === undefined || spec.ingressClassName === undefined || annotation === spec.ingressClassName) return;
  const detail = "must match `ingressClassName` when both are specified";
  yield invalid(`annotations.${CLASS_ANNOTATION}`, annotation, detail);
}

function* rules(spec: IngressSpec): FieldErrors {
  const { rules: hostRules = [], defaultBackend, tls = [], ingressClassName } = spec;
  if (hostRules.length === 0 && !defaultBackend) {
    yield invalid("spec", spec.rules, "either `defaultBackend` or `rules` must be specified");
  }
  if (defaultBackend) yield* backendRules("spec.defaultBackend", defaultBackend);
  for (const [index, { host, http }] of hostRules.entries()) {
    const at = `spec.rules[${index}]`;
    if (host) yield* hostNameRules(`${at}.host`, host, true);
    if (!http) continue;
    const { paths = [] } = http as { paths?: HTTPIngressPath[] };
    if (paths.length === 0) yield required(`${at}.http.paths`);
    for (const [which, path] of paths.entries()) yield* pathRules(`${at}.http.paths[${which}]`, path);
  }
  for (const [index, { hosts = [], secretName }] of tls.entries()) {
    const at = `spec.tls[${index}]`;
    for (const [which, host] of hosts.entries()) yield* hostNameRules(`${at}.hosts[${which}]`, host, false);
    if (secretName) yield* invalidEach(`${at}.secretName`, secretName, subdomainName(secretName, false));
  }
  if (ingressClassName !== undefined) {
    yield* invalidEach("spec.ingressClassName", ingressClassName, subdomainName(ingressClassName, false));
  }
}

function* hostNameRules(path: string, host: string, mayBeNoIp: boolean): FieldErrors {
  if (mayBeNoIp && parseIp(host)) yield invalid(path, host, NO_IP);
  const check = host.includes("*") ? checkWildcardDns1123Subdomain : checkDns1123Subdomain;
  yield* invalidEach(path, host, check(host));
}

function* pathRules(at: string, { path = "", pathType, backend }: HTTPIngressPath): FieldErrors {
  if (pathType === undefined) {
    yield required(`${at}.pathType`, "pathType must be specified");
    return;
  }
  const isPlain = pathType === "Exact" || pathType === "Prefix";
  const needsSlash = isPlain || (pathType === "ImplementationSpecific" && path !== "");
  if (needsSlash && !path.startsWith("/")) yield invalid(`${at}.path`, path, "must be an absolute path");
  if (isPlain) {
    for (const bad of BAD_SEQUENCES)
      if (path.includes(bad)) yield invalid(`${at}.path`, path, `must not contain '${bad}'`);
    for (const bad of BAD_SUFFIXES)
      if (path.endsWith(bad)) yield invalid(`${at}.path`, path, `cannot end with '${bad}'`);
  }
  if (!PATH_TYPES.includes(pathType)) yield notSupported(`${at}.pathType`, pathType, PATH_TYPES);
  yield* backendRules(`${at}.backend`, backend ?? {});
}

function* backendRules(at: string, { resource, service }: IngressBackend): FieldErrors {
  if (resource && service) {
    yield invalid(at, "", "cannot set both resource and service backends");
    return;
  }
  if (resource) yield* referenceRules(`${at}.resource`, resource);
  else if (service) {
    const { name, port } = service;
    if (!name) yield required(`${at}.service.name`);
    else yield* invalidEach(`${at}.service.name`, name, serviceName(name, false));
    if (port?.name && port.number) yield invalid(at, "", "cannot set both port name & port number");
    else if (port?.name) yield* portRules(port.name, `${at}.service.port.name`);
    else if (port?.number) yield* portRules(port.number, `${at}.service.port.number`);
    else yield required(at, "port name or number is required");
  } else yield invalid(at, "", "resource or service backend is required");
}

/** What is named by group, kind and name, in the object's own namespace. */
export function* referenceRules(path: string, { apiGroup, kind, name }: TypedLocalObjectReference): FieldErrors {
  if (apiGroup !== undefined) yield* invalidEach(`${path}.apiGroup`, apiGroup, checkDns1123Subdomain(apiGroup));
  if (!kind) yield required(`${path}.kind`, "kind is required");
  else yield* invalidEach(`${path}.kind`, kind, checkPathSegment(kind));
  if (!name) yield required(`${path}.name`, "name is required");
  else yield* invalidEach(`${path}.name`, name, checkPathSegment(name));
}

function* statusRules(status: IngressStatus | undefined): FieldErrors {
  for (const [index, { ip, hostname }] of (status?.loadBalancer?.ingress ?? []).entries()) {
    const at = `status.loadBalancer.ingress[${index}]`;
    if (ip) yield* invalidEach(`${at}.ip`, ip, checkIp(ip));
    if (!hostname) continue;
    yield* invalidEach(`${at}.hostname`, hostname, checkDns1123Subdomain(hostname));
    if (parseIp(hostname)) yield invalid(`${at}.hostname`, hostname, NO_IP);
  }
}

function hostsText({ rules = [] }: IngressSpec): string {
  const hosts = rules.map(({ host }) => host ?? "").filter((host) => host !== "");
  if (hosts.length === 0) return "*";
  const more = hosts.length - HOSTS_SHOWN;
  const text = hosts.slice(0, HOSTS_SHOWN).join(",");
  return more > 0 ? `${text} + ${more} more...` : text;
}

function addressText(status: IngressStatus | undefined): string {
  const addresses = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || (hostname ?? ""));
  return [...new Set(addresses)]
    .filter((address) => address !== "")
    .sort()
    .join(",");
}
