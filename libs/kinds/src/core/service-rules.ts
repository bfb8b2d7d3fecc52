/** Rules for Services: what may stand together, and what an update may change. */
import type { Service, ServicePort, ServiceSpec } from "@pilothouse/api/types/core-v1";
import { validateLabels } from "@pilothouse/selectors";
import {
  checkDns1123Label,
  checkDns1123Subdomain,
  checkPortNumber,
  checkQualifiedName,
} from "@pilothouse/selectors/names";
import { duplicate, forbidden, invalid, invalidEach, notSupported, oneOf, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { checkCidr, checkIp, checkNonSpecialIp, ipFamily, parseIp } from "../ip.ts";
import { portRules, protocolRules } from "../port-rules.ts";

const TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES = ["Cluster", "Local"];
const MAX_AFFINITY_SECONDS = 86_400;
const SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges";
const ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'";

export function needsClusterIp({ type }: ServiceSpec): boolean {
  return type === "ClusterIP" || type === "NodePort" || type === "LoadBalancer";
}

export function needsNodePorts({ type, allocateLoadBalancerNodePorts }: ServiceSpec): boolean {
  return type === "NodePort" || (type === "LoadBalancer" && allocateLoadBalancerNodePorts !== false);
}

export function needsHealthCheckPort({ type, externalTrafficPolicy }: ServiceSpec): boolean {
  return type === "LoadBalancer" && externalTrafficPolicy === "Local";
}

/** Reached from outside the cluster, so that it matters how traffic comes in. */
export function isExternal({ type, externalIPs = [] }: ServiceSpec): boolean {
  return type === "NodePort" || type === "LoadBalancer" || (type === "ClusterIP" && externalIPs.length > 0);
}

export function isHeadless({ clusterIP }: ServiceSpec): boolean {
  return clusterIP === "None";
}

export function* serviceRules({ metadata, spec }: Service): FieldErrors {
  const { ports = [], type = "" } = spec;
  if (ports.length === 0 && !isHeadless(spec) && type !== "ExternalName") yield required("spec.ports");
  yield* typeRules(spec);
  yield* portsRules(ports, type);
  yield* validateLabels(spec.selector, "spec.selector");
  yield* affinityRules(spec);
  yield* addressRules(spec);
  for (const [index, ip] of (spec.externalIPs ?? []).entries()) {
    const at = `spec.externalIPs[${index}]`;
    yield* invalidEach(at, ip, parseIp(ip) ? checkNonSpecialIp(ip) : checkIp(ip));
  }
  yield* oneOf("spec.type", type, TYPES);
  yield* loadBalancerRules(spec, metadata.annotations ?? {});
  yield* trafficRules(spec);
}

/** What was given once stays; a second family comes and goes. */
export function* serviceUpdateRules({ spec }: Service, { spec: old }: Service): FieldErrors {
  if (needsClusterIp(spec) && needsClusterIp(old)) {
    yield* keptRules("clusterIPs", "clusterIP", spec, old);
    if (!isHeadless(spec) && !isHeadless(old)) yield* keptRules("ipFamilies", "ipFamily", spec, old);
  }
  if (old.type === "LoadBalancer" && spec.type === "LoadBalancer" && spec.loadBalancerClass !== old.loadBalancerClass) {
    yield invalid("spec.loadBalancerClass", spec.loadBalancerClass, "may not change once set");
  }
  const isChecked = needsHealthCheckPort(spec) && needsHealthCheckPort(old);
  if (isChecked && old.healthCheckNodePort && spec.healthCheckNodePort !== old.healthCheckNodePort) {
    yield forbidden("spec.healthCheckNodePort", "field is immutable");
  }
}

/** @param word as upstream calls one of them */
function* keptRules(
  field: "clusterIPs" | "ipFamilies",
  word: string,
  spec: ServiceSpec,
  old: ServiceSpec,
): FieldErrors {
  const [now, before] = [spec[field] ?? [], old[field] ?? []];
  if (isHeadless(spec) && isHeadless(old)) return;
  const path = `spec.${field}`;
  const fixed = now.length === before.length ? before : before.slice(0, 1);
  for (const [index, one] of fixed.entries()) {
    if (now.length === 0) yield invalid(`${path}[0]`, now, `primary ${word} can not be unset`);
    else if (now[index] !== one) yield invalid(`${path}[${index}]`, now, "may not change once set");
  }
  if (before.length === 2 && now.length === 1 && spec.ipFamilyPolicy !== "SingleStack") {
    const detail = `must be set to 'SingleStack' when releasing the secondary ${word}`;
    yield invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, detail);
  }
}

/** Where a load balancer is reached: only a Service of that type has one. */
export function* serviceStatusRules({ spec, status }: Service): FieldErrors {
  const ingress = status?.loadBalancer?.ingress ?? [];
  const path = "status.loadBalancer.ingress";
  if (ingress.length > 0 && spec.type !== "LoadBalancer") {
    yield forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'");
    return;
  }
  for (const [index, { ip, ipMode, hostname }] of ingress.entries()) {
    const at = `${path}[${index}]`;
    if (ip) yield* invalidEach(`${at}.ip`, ip, checkIp(ip));
    if (ipMode === undefined) {
      if (ip) yield required(`${at}.ipMode`, "must be specified when `ip` is set");
    } else if (!ip) yield forbidden(`${at}.ipMode`, "may not be specified when `ip` is not set");
    else if (ipMode !== "VIP" && ipMode !== "Proxy") yield notSupported(`${at}.ipMode`, ipMode, ["Proxy", "VIP"]);
    if (!hostname) continue;
    yield* invalidEach(`${at}.hostname`, hostname, checkDns1123Subdomain(hostname));
    if (parseIp(hostname)) yield invalid(`${at}.hostname`, hostname, "must be a DNS name, not an IP address");
  }
}

/** For the allocator: what is asked for outside the cluster's range, both ends inclusive. */
export function* nodePortRangeRules({ spec }: Service, min: number, max: number): FieldErrors {
  const text = `provided port is not in the valid range. The range of valid ports is ${min}-${max}`;
  for (const [index, { nodePort }] of (spec.ports ?? []).entries()) {
    if (nodePort && (nodePort < min || nodePort > max)) yield invalid(`spec.ports[${index}].nodePort`, nodePort, text);
  }
}

function* typeRules(spec: ServiceSpec): FieldErrors {
  switch (spec.type) {
    case "LoadBalancer":
    case "NodePort":
      yield* notHeadless(spec);
      break;
    case "ExternalName": {
      for (const field of ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] as const) {
        if (spec[field]?.length) yield forbidden(`spec.${field}`, "may not be set for ExternalName services");
      }
      const host = spec.externalName?.replace(/\.$/, "");
      if (host) yield* invalidEach("spec.externalName", host, checkDns1123Subdomain(host));
      else yield required("spec.externalName");
      break;
    }
    default:
  }
}

function* notHeadless(spec: ServiceSpec): FieldErrors {
  if (isHeadless(spec)) {
    yield invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${spec.type} services`);
  }
}

function* portsRules(ports: readonly ServicePort[], type: string): FieldErrors {
  const names = new Set<string>();
  const taken = new Set<string>();
  const takenNodePorts = new Set<string>();
  for (const [index, { name, port, protocol, targetPort, nodePort, appProtocol }] of ports.entries()) {
    const at = `spec.ports[${index}]`;
    if (!name && ports.length > 1) yield required(`${at}.name`);
    else if (name) {
      yield* invalidEach(`${at}.name`, name, checkDns1123Label(name));
      if (names.has(name)) yield duplicate(`${at}.name`, name);
      names.add(name);
    }
    yield* invalidEach(`${at}.port`, port ?? 0, checkPortNumber(port ?? 0));
    yield* protocolRules(protocol, `${at}.protocol`);
    yield* portRules(targetPort, `${at}.targetPort`);
    if (appProtocol !== undefined)
      yield* invalidEach(`${at}.appProtocol`, appProtocol, checkQualifiedName(appProtocol));
    if (nodePort && type === "ClusterIP") {
      yield forbidden(`${at}.nodePort`, "may not be used when `type` is 'ClusterIP'");
    }
    if (nodePort && takenNodePorts.has(`${protocol}/${nodePort}`)) yield duplicate(`${at}.nodePort`, nodePort);
    if (taken.has(`${protocol}/${port}`)) yield duplicate(at, { protocol, port });
    taken.add(`${protocol}/${port}`);
    takenNodePorts.add(`${protocol}/${nodePort}`);
  }
}

function* affinityRules({ sessionAffinity, sessionAffinityConfig: config }: ServiceSpec): FieldErrors {
  yield* oneOf("spec.sessionAffinity", sessionAffinity, ["ClientIP", "None"]);
  const path = "spec.sessionAffinityConfig";
  if (sessionAffinity === "None" && config) {
    yield forbidden(path, "must not be set when session affinity is None");
  }
  if (sessionAffinity !== "ClientIP") return;
  const seconds = config?.clientIP?.timeoutSeconds;
  if (!config) yield required(path, "when session affinity type is ClientIP");
  else if (!config.clientIP) yield required(`${path}.clientIP`, "when session affinity type is ClientIP");
  else if (seconds === undefined) {
    yield required(`${path}.clientIP.timeoutSeconds`, "when session affinity type is ClientIP");
  } else if (seconds <= 0 || seconds > MAX_AFFINITY_SECONDS) {
    yield invalid(
      `${path}.clientIP.timeoutSeconds`,
      seconds,
      `must be greater than 0 and less than ${MAX_AFFINITY_SECONDS}`,
    );
  }
}

function* addressRules({
  type,
  clusterIP = "",
  clusterIPs = [],
  ipFamilies = [],
  ipFamilyPolicy,
}: ServiceSpec): FieldErrors {
  if (type === "ExternalName") return;
  const families = new Set<string>();
  for (const [index, family] of ipFamilies.entries()) {
    const at = `spec.ipFamilies[${index}]`;
    if (family !== "IPv4" && family !== "IPv6") yield notSupported(at, family, ["IPv4", "IPv6"]);
    if (families.has(family)) yield duplicate(at, family);
    families.add(family);
  }
  if (ipFamilyPolicy !== undefined) {
    yield* oneOf("spec.ipFamilyPolicy", ipFamilyPolicy, ["PreferDualStack", "RequireDualStack", "SingleStack"]);
  }
  yield* clusterIpsRules(clusterIP, clusterIPs, ipFamilies);
}

function* clusterIpsRules(
  clusterIP: string,
  clusterIPs: readonly string[],
  ipFamilies: readonly string[],
): FieldErrors {
  const path = "spec.clusterIPs";
  if (clusterIP === "") {
    if (clusterIPs.length > 0) yield invalid(path, clusterIPs, "must be empty when `clusterIP` is not specified");
  } else if (clusterIPs.length === 0) yield required(path);
  else if (clusterIP !== clusterIPs[0]) yield invalid(path, clusterIPs, "first value must match `clusterIP`");

  let allValid = true;
  for (const [index, ip] of clusterIPs.entries()) {
    const isNone = index === 0 && ip === "None";
    if (isNone && clusterIPs.length === 1) continue;
    if (isNone) yield invalid(path, clusterIPs, "'None' must be the first and only value");
    else yield* invalidEach(`${path}[${index}]`, ip, checkIp(ip));
    allValid &&= parseIp(ip) !== undefined;
  }
  if (clusterIPs.length > 2) yield invalid(path, clusterIPs, "may only hold up to 2 values");
  if (!allValid) return;
  if (clusterIPs.length > 1 && new Set(clusterIPs.map(ipFamily)).size < 2) {
    yield invalid(path, clusterIPs, "may specify no more than one IP for each IP family");
  }
  for (const [index, ip] of clusterIPs.entries()) {
    const [family, wanted] = [ipFamily(ip), ipFamilies[index]];
    if (!family || wanted === undefined || wanted === family) continue;
    yield invalid(`${path}[${index}]`, ip, `expected an ${wanted} value as indicated by \`ipFamilies[${index}]\``);
  }
}

function* loadBalancerRules(spec: ServiceSpec, annotations: Readonly<Record<string, string>>): FieldErrors {
  const { type, loadBalancerSourceRanges = [], loadBalancerClass, allocateLoadBalancerNodePorts } = spec;
  const isBalanced = type === "LoadBalancer";
  // Upstream's path, with a capital letter.
  const path = "spec.LoadBalancerSourceRanges";
  if (!isBalanced && loadBalancerSourceRanges.length > 0) yield forbidden(path, ONLY_LOAD_BALANCER);
  for (const [index, range] of loadBalancerSourceRanges.entries()) {
    const cidr = range.trim();
    yield* invalidEach(`${path}[${index}]`, cidr, checkCidr(cidr));
  }
  const annotation = annotations[SOURCE_RANGES];
  if (loadBalancerSourceRanges.length === 0 && annotation !== undefined) {
    const at = `metadata.annotations[${SOURCE_RANGES}]`;
    if (!isBalanced) yield forbidden(at, ONLY_LOAD_BALANCER);
    const cidrs = annotation.trim() === "" ? [] : annotation.split(",").map((cidr) => cidr.trim());
    for (const cidr of cidrs) yield* invalidEach(at, cidr, checkCidr(cidr));
  }
  if (!isBalanced && allocateLoadBalancerNodePorts !== undefined) {
    yield forbidden("spec.allocateLoadBalancerNodePorts", ONLY_LOAD_BALANCER);
  }
  if (loadBalancerClass === undefined) return;
  if (isBalanced)
    yield* invalidEach("spec.loadBalancerClass", loadBalancerClass, checkQualifiedName(loadBalancerClass));
  else yield forbidden("spec.loadBalancerClass", ONLY_LOAD_BALANCER);
}

function* trafficRules(spec: ServiceSpec): FieldErrors {
  const { externalTrafficPolicy, internalTrafficPolicy, healthCheckNodePort = 0, trafficDistribution } = spec;
  if (externalTrafficPolicy && !isExternal(spec)) {
    yield invalid(
      "spec.externalTrafficPolicy",
      externalTrafficPolicy,
      "may only be set for externally-accessible services",
    );
  } else if (isExternal(spec)) {
    yield* oneOf("spec.externalTrafficPolicy", externalTrafficPolicy, POLICIES);
  }
  if (healthCheckNodePort !== 0 && !needsHealthCheckPort(spec)) {
    yield invalid(
      "spec.healthCheckNodePort",
      healthCheckNodePort,
      "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
    );
  }
  if (internalTrafficPolicy === undefined) {
    if (needsClusterIp(spec)) yield required("spec.internalTrafficPolicy");
  } else if (!POLICIES.includes(internalTrafficPolicy)) {
    yield notSupported("spec.internalTrafficPolicy", internalTrafficPolicy, POLICIES);
  }
  if (trafficDistribution !== undefined) {
    yield* oneOf("spec.trafficDistribution", trafficDistribution, ["PreferClose", "PreferSameNode", "PreferSameZone"]);
  }
}
