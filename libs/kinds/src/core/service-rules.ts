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
const KUBELET_PORT = 10250;
const MAX_AFFINITY_SECONDS = 86_400;
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

export function* serviceRules({ spec }: Service): FieldErrors {
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
  yield* loadBalancerRules(spec);
  yield* trafficRules(spec);
}

export function* serviceUpdateRules({ spec }: Service, { spec: old }: Service): FieldErrors {
  if (needsClusterIp(spec) && needsClusterIp(old)) {
    const primary = old.clusterIPs?.[0] ?? old.clusterIP;
    if (primary && (spec.clusterIPs ?? []).length === 0) {
      yield invalid("spec.clusterIPs[0]", spec.clusterIPs ?? [], "primary clusterIP can not be unset");
    } else if (primary && spec.clusterIPs?.[0] !== primary) {
      yield invalid("spec.clusterIPs[0]", spec.clusterIPs, "may not change once set");
    }
    const family = old.ipFamilies?.[0];
    if (family && spec.ipFamilies?.[0] !== undefined && spec.ipFamilies[0] !== family) {
      yield invalid("spec.ipFamilies[0]", spec.ipFamilies, "may not change once set");
    }
  }
  if (old.type === "LoadBalancer" && spec.type === "LoadBalancer" && spec.loadBalancerClass !== old.loadBalancerClass) {
    yield invalid("spec.loadBalancerClass", spec.loadBalancerClass, "may not change once set");
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
      for (const [index, { port }] of (spec.ports ?? []).entries()) {
        if (port !== KUBELET_PORT) continue;
        const text = `may not expose port ${KUBELET_PORT} externally since it is used by kubelet`;
        yield invalid(`spec.ports[${index}]`, port, text);
      }
      yield* notHeadless(spec);
      break;
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
  if (clusterIPs.length > 0 && clusterIP === "")
    yield required("spec.clusterIP", "must be set when `clusterIPs` is specified");
  else if (clusterIP !== (clusterIPs[0] ?? "")) {
    yield invalid("spec.clusterIPs", clusterIPs, "first value must match `clusterIP`");
  }
  if (clusterIPs.length > 2) yield invalid("spec.clusterIPs", clusterIPs, "may only hold up to 2 values");
  for (const [index, ip] of clusterIPs.entries()) {
    const at = `spec.clusterIPs[${index}]`;
    if (ip === "None") {
      if (clusterIPs.length > 1) yield invalid(at, ip, "'None' must be the first and only value");
      continue;
    }
    const family = ipFamily(ip);
    if (!family) yield* invalidEach(at, ip, checkIp(ip));
    else if (ipFamilies[index] !== undefined && ipFamilies[index] !== family) {
      yield invalid(at, ip, `expected an ${ipFamilies[index]} value as indicated by \`ipFamilies[${index}]\``);
    }
  }
}

function* loadBalancerRules(spec: ServiceSpec): FieldErrors {
  const { type, loadBalancerSourceRanges = [], loadBalancerClass, allocateLoadBalancerNodePorts } = spec;
  if (type !== "LoadBalancer") {
    if (loadBalancerSourceRanges.length > 0) yield forbidden("spec.loadBalancerSourceRanges", ONLY_LOAD_BALANCER);
    if (loadBalancerClass !== undefined) yield forbidden("spec.loadBalancerClass", ONLY_LOAD_BALANCER);
    if (allocateLoadBalancerNodePorts !== undefined) {
      yield forbidden("spec.allocateLoadBalancerNodePorts", ONLY_LOAD_BALANCER);
    }
  } else if (allocateLoadBalancerNodePorts === undefined) yield required("spec.allocateLoadBalancerNodePorts");
  for (const [index, range] of loadBalancerSourceRanges.entries()) {
    const cidr = range.trim();
    yield* invalidEach(`spec.loadBalancerSourceRanges[${index}]`, range, checkCidr(cidr));
  }
  if (loadBalancerClass !== undefined) {
    yield* invalidEach("spec.loadBalancerClass", loadBalancerClass, checkQualifiedName(loadBalancerClass));
  }
}

function* trafficRules(spec: ServiceSpec): FieldErrors {
  const { type, externalTrafficPolicy, internalTrafficPolicy, healthCheckNodePort = 0, trafficDistribution } = spec;
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
  if (internalTrafficPolicy !== undefined && internalTrafficPolicy !== "") {
    yield* oneOf("spec.internalTrafficPolicy", internalTrafficPolicy, POLICIES);
  } else if (type !== "ExternalName") yield required("spec.internalTrafficPolicy");
  if (trafficDistribution !== undefined) {
    yield* oneOf("spec.trafficDistribution", trafficDistribution, ["PreferClose", "PreferSameNode", "PreferSameZone"]);
  }
}
