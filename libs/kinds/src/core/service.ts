import type { Service, ServicePort, ServiceSpec } from "@pilothouse/api/types/core-v1";
import { AGE, labelsText, orNone, shown, wide } from "../columns.ts";
import { firstErrors, sameValue } from "../field-errors.ts";
import { ipFamily } from "../ip.ts";
import { keepField } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { serviceName } from "../names.ts";
import { proxyOf, STATUS } from "../subresources.ts";
import {
  isExternal,
  isHeadless,
  needsClusterIp,
  needsHealthCheckPort,
  needsNodePorts,
  serviceRules,
  serviceStatusRules,
  serviceUpdateRules,
} from "./service-rules.ts";
import { serviceWarnings } from "./service-warnings.ts";

/** Three hours. */
const AFFINITY_SECONDS = 10_800;

/** Addresses and ports that a Service needs but does not name are given by the apiserver's allocator. */
export const service: KindDefinition<Service> = {
  group: "",
  version: "v1",
  kind: "Service",
  resource: "services",
  singular: "service",
  shortNames: ["svc"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS, proxyOf("Service")],
  depth: "full",
  validateName: serviceName,
  defaults: (service) => {
    service.spec ??= {};
    defaultService(service.spec);
    if (service.spec.type !== "LoadBalancer") return;
    for (const ingress of service.status?.loadBalancer?.ingress ?? []) if (ingress.ip) ingress.ipMode ??= "VIP";
  },
  prepareForCreate: (service) => {
    service.status = { loadBalancer: {} };
    syncClusterIps(service.spec);
    defaultFamilies(service.spec);
  },
  prepareForUpdate: (service, old) => {
    keepField(service, old, "status");
    dropWhatTheTypeLost(service.spec, old.spec);
    keepAllocated(service.spec, old.spec);
    syncClusterIps(service.spec, old.spec);
    defaultFamilies(service.spec);
  },
  prepareForStatusUpdate: (service, old) => keepField(service, old, "spec"),
  validateStatusUpdate: (service) => firstErrors(serviceStatusRules(service)),
  warnings: serviceWarnings,
  validate: (service) => firstErrors(serviceRules(service)),
  validateUpdate: (service, old) => firstErrors(serviceUpdateRules(service, old)),
  selectableFields: ({ spec }) => ({ "spec.clusterIP": spec.clusterIP ?? "", "spec.type": spec.type ?? "" }),
  columns: [
    shown("Type", ({ spec }) => spec.type ?? "", "How it is reached."),
    shown(
      "Cluster-IP",
      ({ spec }) => orNone(spec.clusterIPs?.[0] ?? spec.clusterIP),
      "Its address inside the cluster.",
    ),
    shown("External-IP", externalIpText, "Its addresses outside the cluster."),
    shown("Port(s)", ({ spec }) => orNone((spec.ports ?? []).map(portText).join(",")), "Its ports."),
    AGE,
    wide("Selector", ({ spec }) => labelsText(spec.selector), "Labels of the pods behind it."),
  ],
  ageColumn: false,
};

function defaultService(spec: ServiceSpec): void {
  spec.sessionAffinity ||= "None";
  if (spec.sessionAffinity === "None") delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === "ClientIP") {
    const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_SECONDS;
    spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: seconds } };
  }
  spec.type ||= "ClusterIP";
  for (const port of spec.ports ?? []) {
    port.protocol ||= "TCP";
    port.targetPort ||= port.port;
  }
  if (isExternal(spec)) spec.externalTrafficPolicy ||= "Cluster";
  if (needsClusterIp(spec)) spec.internalTrafficPolicy ||= "Cluster";
  if (spec.type === "LoadBalancer") spec.allocateLoadBalancerNodePorts ??= true;
}

/** `clusterIP` is the first of `clusterIPs`: a client that knows one of them only sets that one. */
function syncClusterIps(spec: ServiceSpec, old?: ServiceSpec): void {
  const ipIsNew = spec.clusterIP !== old?.clusterIP;
  const ipsAreOld = old === undefined ? !spec.clusterIPs?.length : sameValue(spec.clusterIPs, old.clusterIPs);
  if (!ipIsNew || !ipsAreOld) return;
  if (spec.clusterIP) spec.clusterIPs = [spec.clusterIP];
  else delete spec.clusterIPs;
}

/** Pilothouse's Services are IPv4 unless asked; headless ones without a selector may point anywhere. */
function defaultFamilies(spec: ServiceSpec): void {
  if (!needsClusterIp(spec)) return;
  if (isHeadless(spec) && !spec.selector && !spec.ipFamilies?.length) {
    spec.ipFamilyPolicy ??= "RequireDualStack";
    spec.ipFamilies = spec.ipFamilyPolicy === "SingleStack" ? ["IPv4"] : ["IPv4", "IPv6"];
    return;
  }
  spec.ipFamilyPolicy ??= "SingleStack";
  if (spec.ipFamilies?.length) return;
  spec.ipFamilies = [(spec.clusterIP && ipFamily(spec.clusterIP)) || "IPv4"];
}

/** What another type does not have goes by itself when the type changes, unless the user set it anew. */
function dropWhatTheTypeLost(spec: ServiceSpec, old: ServiceSpec): void {
  if (needsClusterIp(old) && !needsClusterIp(spec)) {
    for (const field of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] as const) {
      if (sameValue(spec[field], old[field])) delete spec[field];
    }
    if (spec.internalTrafficPolicy === old.internalTrafficPolicy) delete spec.internalTrafficPolicy;
  }
  if (needsNodePorts(old) && !needsNodePorts(spec)) {
    const before = new Set((old.ports ?? []).map(({ nodePort }) => nodePort));
    for (const port of spec.ports ?? []) if (before.has(port.nodePort)) delete port.nodePort;
  }
  if (
    needsHealthCheckPort(old) &&
    !needsHealthCheckPort(spec) &&
    spec.healthCheckNodePort === old.healthCheckNodePort
  ) {
    delete spec.healthCheckNodePort;
  }
  if (old.type === "LoadBalancer" && spec.type !== "LoadBalancer") {
    for (const field of ["allocateLoadBalancerNodePorts", "loadBalancerClass"] as const) {
      if (spec[field] === old[field]) delete spec[field];
    }
  }
  if (
    isExternal(old) &&
    !isExternal(spec) &&
    old.externalTrafficPolicy &&
    spec.externalTrafficPolicy === old.externalTrafficPolicy
  ) {
    delete spec.externalTrafficPolicy;
  }
}

/** A client that leaves out what was allocated keeps it. */
function keepAllocated(spec: ServiceSpec, old: ServiceSpec): void {
  if (needsClusterIp(spec) && needsClusterIp(old)) {
    if (!spec.clusterIP) keepField(spec, old, "clusterIP");
    if (!spec.clusterIPs?.length && spec.clusterIP === old.clusterIP) keepField(spec, old, "clusterIPs");
    if (!spec.ipFamilies?.length) keepField(spec, old, "ipFamilies");
    if (!spec.ipFamilyPolicy) keepField(spec, old, "ipFamilyPolicy");
  }
  if (needsNodePorts(spec) && needsNodePorts(old)) {
    for (const port of spec.ports ?? []) {
      const before = old.ports?.find((one) => one.protocol === port.protocol && one.port === port.port)?.nodePort;
      const isTaken = spec.ports?.some((one) => one.nodePort === before && one.protocol === port.protocol);
      if (!port.nodePort && before && !isTaken) port.nodePort = before;
    }
  }
  if (needsHealthCheckPort(spec) && needsHealthCheckPort(old) && !spec.healthCheckNodePort) {
    keepField(spec, old, "healthCheckNodePort");
  }
}

function externalIpText({ spec, status }: Service): string {
  const external = spec.externalIPs ?? [];
  switch (spec.type) {
    case "ExternalName":
      return spec.externalName ?? "";
    case "LoadBalancer": {
      const ingress = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || (hostname ?? ""));
      return [...ingress, ...external].join(",") || "<pending>";
    }
    default:
      return orNone(external.join(","));
  }
}

function portText({ port, nodePort, protocol }: ServicePort): string {
  return nodePort ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`;
}
