/** Rules for PodTemplateSpec and PodSpec, in upstream's order. */
import type { PodDNSConfig, PodSecurityContext, PodSpec, PodTemplateSpec } from "@pilothouse/api/types/core-v1";
import { validateLabels } from "@pilothouse/selectors";
import { checkDns1123Label, checkDns1123Subdomain, checkQualifiedName } from "@pilothouse/selectors/names";
import { duplicate, forbidden, inRange, invalid, invalidEach, notSupported, oneOf, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { checkIp, parseIp } from "../ip.ts";
import { templateMetaRules } from "../meta.ts";
import { containersRules, initContainersRules, MAX_ID, profileRules, type PodContext } from "./container-rules.ts";
import { ephemeralContainersRules } from "./ephemeral-rules.ts";
import { affinityRules, spreadRules, tolerationsRules } from "./scheduling-rules.ts";
import { volumesRules } from "./volume-rules.ts";

const MAX_INT32 = 2 ** 31 - 1;
const MAX_NAMESERVERS = 3;
const MAX_SEARCH_PATHS = 32;
const MAX_SEARCH_CHARACTERS = 2048;

export function* podTemplateRules(template: PodTemplateSpec, path: string): FieldErrors {
  yield* templateMetaRules(template.metadata, path);
  if (template.spec) {
    yield* podSpecRules(template.spec, `${path}.spec`);
    if ((template.spec.ephemeralContainers ?? []).length > 0) {
      yield forbidden(`${path}.spec.ephemeralContainers`, "ephemeral containers not allowed in pod template");
    }
  } else yield required(`${path}.spec.containers`);
}

export function* podSpecRules(spec: PodSpec, path: string): FieldErrors {
  const pod: PodContext = { volumes: spec.volumes ?? [], hostNetwork: spec.hostNetwork === true };
  yield* volumesRules(pod.volumes, `${path}.volumes`);
  yield* containersRules(spec.containers ?? [], pod, `${path}.containers`);
  yield* initContainersRules(spec.initContainers ?? [], spec.containers ?? [], pod, `${path}.initContainers`);
  yield* ephemeralContainersRules(spec, pod, `${path}.ephemeralContainers`);
  yield* oneOf(`${path}.restartPolicy`, spec.restartPolicy, ["Always", "OnFailure", "Never"]);
  yield* oneOf(`${path}.dnsPolicy`, spec.dnsPolicy, ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
  yield* validateLabels(spec.nodeSelector, `${path}.nodeSelector`);
  yield* securityRules(spec, spec.securityContext ?? {}, `${path}.securityContext`);
  yield* affinityRules(spec.affinity, `${path}.affinity`);
  yield* dnsConfigRules(spec.dnsConfig, spec.dnsPolicy, `${path}.dnsConfig`);
  for (const [index, { conditionType }] of (spec.readinessGates ?? []).entries()) {
    yield* invalidEach(
      `${path}.readinessGates[${index}].conditionType`,
      conditionType,
      checkQualifiedName(conditionType ?? ""),
    );
  }
  yield* gatesRules(spec, `${path}.schedulingGates`);
  yield* spreadRules(spec.topologySpreadConstraints ?? [], `${path}.topologySpreadConstraints`);
  for (const field of ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"] as const) {
    const name = spec[field];
    if (name) yield* invalidEach(`${path}.${field}`, name, checkDns1123Subdomain(name));
  }
  yield* inRange(`${path}.activeDeadlineSeconds`, spec.activeDeadlineSeconds, 1, MAX_INT32);
  for (const field of ["hostname", "subdomain"] as const) {
    const label = spec[field];
    if (label) yield* invalidEach(`${path}.${field}`, label, checkDns1123Label(label));
  }
  yield* tolerationsRules(spec.tolerations ?? [], `${path}.tolerations`);
  for (const [index, { ip, hostnames }] of (spec.hostAliases ?? []).entries()) {
    const at = `${path}.hostAliases[${index}]`;
    yield* invalidEach(`${at}.ip`, ip ?? "", checkIp(ip ?? ""));
    for (const name of hostnames ?? []) yield* invalidEach(`${at}.hostnames`, name, checkDns1123Subdomain(name));
  }
  if (spec.preemptionPolicy !== undefined) {
    yield* oneOf(`${path}.preemptionPolicy`, spec.preemptionPolicy, ["Never", "PreemptLowerPriority"]);
  }
  if (spec.os) yield* oneOf(`${path}.os.name`, spec.os.name, ["linux", "windows"]);
}

function* gatesRules({ schedulingGates = [], nodeName }: PodSpec, path: string): FieldErrors {
  const names = new Set<string>();
  for (const [index, { name }] of schedulingGates.entries()) {
    yield* invalidEach(`${path}[${index}]`, name ?? "", checkQualifiedName(name ?? ""));
    if (names.has(name)) yield duplicate(`${path}[${index}]`, name);
    names.add(name);
  }
  if (nodeName && schedulingGates.length > 0) {
    yield invalid(
      path.replace("schedulingGates", "nodeName"),
      nodeName,
      "cannot be set until all schedulingGates have been cleared",
    );
  }
}

function* securityRules(spec: PodSpec, context: PodSecurityContext, path: string): FieldErrors {
  if (spec.shareProcessNamespace && spec.hostPID) {
    yield invalid(`${path}.shareProcessNamespace`, true, "ShareProcessNamespace and HostPID cannot both be enabled");
  }
  yield* inRange(`${path}.fsGroup`, context.fsGroup, 0, MAX_ID);
  yield* inRange(`${path}.runAsUser`, context.runAsUser, 0, MAX_ID);
  yield* inRange(`${path}.runAsGroup`, context.runAsGroup, 0, MAX_ID);
  for (const [index, group] of (context.supplementalGroups ?? []).entries()) {
    yield* inRange(`${path}.supplementalGroups[${index}]`, group, 0, MAX_ID);
  }
  const sysctls = new Set<string>();
  for (const [index, { name }] of (context.sysctls ?? []).entries()) {
    const at = `${path}.sysctls[${index}].name`;
    if (!name) yield required(at);
    else if (!/^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$/.test(name)) {
      yield invalid(
        at,
        name,
        "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
      );
    } else if (sysctls.has(name)) yield duplicate(at, name);
    sysctls.add(name);
  }
  if (context.fsGroupChangePolicy !== undefined) {
    yield* oneOf(`${path}.fsGroupChangePolicy`, context.fsGroupChangePolicy, ["Always", "OnRootMismatch"]);
  }
  if (context.supplementalGroupsPolicy !== undefined) {
    const known = ["Merge", "Strict"];
    if (!known.includes(context.supplementalGroupsPolicy)) {
      yield notSupported(`${path}.supplementalGroupsPolicy`, context.supplementalGroupsPolicy, known);
    }
  }
  yield* profileRules(context, path);
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
    yield* invalidEach(`${path}.searches[${index}]`, search, checkDns1123Subdomain(search.replace(/\.$/, "")));
  }
  for (const [index, { name }] of options.entries()) {
    if (!name) yield required(`${path}.options[${index}]`, "must not be empty");
  }
}
