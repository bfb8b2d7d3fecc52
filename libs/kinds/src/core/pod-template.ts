/** Rules for PodTemplateSpec and PodSpec, in upstream's order. */
import type { PodDNSConfig, PodResourceClaim, PodSpec, PodTemplateSpec } from "@pilothouse/api/types/core-v1";
import { validateLabels } from "@pilothouse/selectors";
import {
  checkDns1123Label,
  checkDns1123Subdomain,
  checkDns1123SubdomainWithUnderscore,
  checkQualifiedName,
} from "@pilothouse/selectors/names";
import { duplicate, forbidden, inRange, invalid, invalidEach, oneOf, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { checkIp, parseIp } from "../ip.ts";
import { templateMetaRules } from "../meta.ts";
import { containersRules, initContainersRules, type PodContext } from "./container-rules.ts";
import { ephemeralContainersRules } from "./ephemeral-rules.ts";
import { podAnnotationRules, profilesMatchRules } from "./pod-annotations.ts";
import { podResourcesRules } from "./pod-level-rules.ts";
import { resourceRules } from "./resource-rules.ts";
import { affinityRules, spreadRules, tolerationsRules } from "./scheduling-rules.ts";
import { hostUsersRules, podSecurityRules } from "./security-rules.ts";
import { soundVolumes, volumesRules, type VolumeOwner } from "./volume-rules.ts";
import { hostProcessRules, osRules } from "./windows-rules.ts";

const MAX_INT32 = 2 ** 31 - 1;
const MAX_NAMESERVERS = 3;
const MAX_SEARCH_PATHS = 32;
const MAX_SEARCH_CHARACTERS = 2048;

export function* podTemplateRules(template: PodTemplateSpec, path: string): FieldErrors {
  yield* templateMetaRules(template.metadata, path);
  const { spec = { containers: [] } } = template;
  const annotations = template.metadata?.annotations ?? {};
  yield* podAnnotationRules(annotations, spec, `${path}.annotations`);
  yield* podSpecRules(spec, `${path}.spec`, { podName: undefined });
  yield* profilesMatchRules(annotations, spec, `${path}.spec`);
  if ((spec.ephemeralContainers ?? []).length > 0) {
    yield forbidden(`${path}.spec.ephemeralContainers`, "ephemeral containers not allowed in pod template");
  }
}

/** @param owner the pod itself, or a template of pods */
export function* podSpecRules(spec: PodSpec, path: string, owner: VolumeOwner): FieldErrors {
  const volumes = spec.volumes ?? [];
  const claims = spec.resourceClaims ?? [];
  const pod: PodContext = {
    volumes: soundVolumes(volumes, owner),
    restartPolicy: spec.restartPolicy,
    graceSeconds: spec.terminationGracePeriodSeconds,
    hostUsers: spec.hostUsers !== false,
    claimNames: claims.flatMap(({ name }) => (name ? [name] : [])),
  };
  yield* volumesRules(volumes, owner, `${path}.volumes`);
  yield* claimsRules(claims, `${path}.resourceClaims`);
  yield* containersRules(spec.containers ?? [], pod, `${path}.containers`);
  yield* initContainersRules(spec.initContainers ?? [], spec.containers ?? [], pod, `${path}.initContainers`);
  yield* ephemeralContainersRules(spec, pod, `${path}.ephemeralContainers`);
  yield* podResourcesRules(spec, `${path}.resources`);
  yield* hostNetworkRules(spec, owner, `${path}.containers`);
  yield* oneOf(`${path}.restartPolicy`, spec.restartPolicy, ["Always", "OnFailure", "Never"]);
  yield* oneOf(`${path}.dnsPolicy`, spec.dnsPolicy, ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
  yield* validateLabels(spec.nodeSelector, `${path}.nodeSelector`);
  yield* podSecurityRules(spec, spec.securityContext ?? {}, `${path}.securityContext`);
  yield* affinityRules(spec.affinity, `${path}.affinity`);
  yield* dnsConfigRules(spec.dnsConfig, spec.dnsPolicy, `${path}.dnsConfig`);
  for (const [index, { conditionType = "" }] of (spec.readinessGates ?? []).entries()) {
    const at = `${path}.readinessGates[${index}].conditionType`;
    yield* invalidEach(at, conditionType, checkQualifiedName(conditionType));
  }
  yield* gatesRules(spec, `${path}.schedulingGates`);
  yield* spreadRules(spec.topologySpreadConstraints ?? [], `${path}.topologySpreadConstraints`);
  yield* hostProcessRules(spec, path);
  yield* hostUsersRules(spec, path);
  yield* namesRules(spec, path);
  yield* tolerationsRules(spec.tolerations ?? [], `${path}.tolerations`);
  for (const [index, { ip = "", hostnames = [] }] of (spec.hostAliases ?? []).entries()) {
    const at = `${path}.hostAliases[${index}]`;
    yield* invalidEach(`${at}.ip`, ip, checkIp(ip));
    for (const [i, name] of hostnames.entries()) {
      yield* invalidEach(`${at}.hostnames[${i}]`, name, checkDns1123Subdomain(name));
    }
  }
  for (const field of ["priorityClassName", "runtimeClassName"] as const) {
    const name = spec[field];
    if (name || (field === "runtimeClassName" && name !== undefined)) {
      yield* invalidEach(`${path}.${field}`, name, checkDns1123Subdomain(name));
    }
  }
  if (spec.preemptionPolicy !== undefined) {
    yield* oneOf(`${path}.preemptionPolicy`, spec.preemptionPolicy, ["PreemptLowerPriority", "Never"]);
  }
  if (spec.overhead) yield* resourceRules({ limits: spec.overhead }, [], `${path}.overhead`);
  yield* osRules(spec, path);
}

function* namesRules(spec: PodSpec, path: string): FieldErrors {
  for (const field of ["serviceAccountName", "nodeName"] as const) {
    const name = spec[field];
    if (name) yield* invalidEach(`${path}.${field}`, name, checkDns1123Subdomain(name));
  }
  yield* inRange(`${path}.activeDeadlineSeconds`, spec.activeDeadlineSeconds, 1, MAX_INT32);
  for (const field of ["hostname", "subdomain"] as const) {
    const label = spec[field];
    if (label) yield* invalidEach(`${path}.${field}`, label, checkDns1123Label(label));
  }
  const { hostnameOverride: override } = spec;
  if (override !== undefined) {
    yield* invalidEach(`${path}.hostnameOverride`, override, checkDns1123Subdomain(override));
  }
}

/** On the network of its node a container's port is the node's. A template may leave that to its pods. */
function* hostNetworkRules(spec: PodSpec, { podName }: VolumeOwner, path: string): FieldErrors {
  if (!spec.hostNetwork) return;
  for (const [index, { ports = [] }] of (spec.containers ?? []).entries()) {
    for (const [i, { hostPort = 0, containerPort }] of ports.entries()) {
      if (hostPort === containerPort || (hostPort === 0 && podName === undefined)) continue;
      const at = `${path}[${index}].ports[${i}].hostPort`;
      yield invalid(at, hostPort, "must match `containerPort` when `hostNetwork` is true");
    }
  }
}

function* claimsRules(claims: readonly PodResourceClaim[], path: string): FieldErrors {
  const names = new Set<string>();
  for (const [index, claim] of claims.entries()) {
    const at = `${path}[${index}]`;
    const { name, resourceClaimName, resourceClaimTemplateName } = claim;
    if (!name) yield required(`${at}.name`);
    else if (names.has(name)) yield duplicate(`${at}.name`, name);
    else yield* invalidEach(`${at}.name`, name, checkDns1123Label(name));
    names.add(name);
    if (resourceClaimName !== undefined && resourceClaimTemplateName !== undefined) {
      const detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
      yield invalid(at, claim, detail);
    }
    if (resourceClaimName === undefined && resourceClaimTemplateName === undefined) {
      yield invalid(at, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
    }
    for (const [field, value] of Object.entries({ resourceClaimName, resourceClaimTemplateName })) {
      if (value !== undefined) yield* invalidEach(`${at}.${field}`, value, checkDns1123Subdomain(value));
    }
  }
}

function* gatesRules({ schedulingGates = [] }: PodSpec, path: string): FieldErrors {
  const names = new Set<string>();
  for (const [index, { name = "" }] of schedulingGates.entries()) {
    yield* invalidEach(`${path}[${index}]`, name, checkQualifiedName(name));
    if (names.has(name)) yield duplicate(`${path}[${index}]`, name);
    names.add(name);
  }
}

function* dnsConfigRules(config: PodDNSConfig | undefined, dnsPolicy: string | undefined, path: string): FieldErrors {
  const { nameservers = [], searches = [], options = [] } = config ?? {};
  if (dnsPolicy === "None") {
    if (!config) {
      yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
      return;
    }
    if (nameservers.length === 0) {
      yield required(`${path}.nameservers`, "must provide at least one DNS nameserver when `dnsPolicy` is None");
      return;
    }
  }
  if (nameservers.length > MAX_NAMESERVERS) {
    yield invalid(`${path}.nameservers`, nameservers, `must not have more than ${MAX_NAMESERVERS} nameservers`);
  }
  for (const [index, address] of nameservers.entries()) {
    if (!parseIp(address)) yield* invalidEach(`${path}.nameservers[${index}]`, address, checkIp(address));
  }
  if (searches.length > MAX_SEARCH_PATHS) {
    yield invalid(`${path}.searches`, searches, `must not have more than ${MAX_SEARCH_PATHS} search paths`);
  }
  if (searches.join(" ").length > MAX_SEARCH_CHARACTERS) {
    yield invalid(
      `${path}.searches`,
      searches,
      `must not have more than ${MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list`,
    );
  }
  for (const [index, search] of searches.entries()) {
    if (search === ".") continue;
    const domain = search.replace(/\.$/, "");
    yield* invalidEach(`${path}.searches[${index}]`, domain, checkDns1123SubdomainWithUnderscore(domain));
  }
  for (const [index, { name }] of options.entries()) {
    if (!name) yield required(`${path}.options[${index}]`, "must not be empty");
  }
}
