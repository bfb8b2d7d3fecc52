/**
 * Pods are as safe as their namespace's labels ask for. Workloads are let through with a warning of what their pods would be refused
 * for. What is to be audited only (`audit` labels) is not told anywhere: there is no audit log.
 */
import type { Namespace, Pod, PodTemplateSpec } from "@pilothouse/api/types/core-v1";
import { forbidden, invalid } from "@pilothouse/errors";
import type { ApiObject } from "@pilothouse/kinds/kind";
import type { Checked } from "@pilothouse/kinds/pod-security/check";
import {
  detailsOf,
  findingsOf,
  isStricter,
  labelProblems,
  nameOf,
  policyOf,
  type LevelVersion,
  type Policy,
} from "@pilothouse/kinds/pod-security/policy";
import { known } from "../../registry/known.ts";
import type { AdmissionDeps, AdmissionPlugin, AdmissionRequest } from "./admission.ts";

export interface Exemptions {
  readonly namespaces: readonly string[];
  readonly usernames: readonly string[];
  readonly runtimeClasses: readonly string[];
}

const NO_EXEMPTIONS: Exemptions = { namespaces: [], usernames: [], runtimeClasses: [] };

const WORKLOADS: readonly string[] = [
  "replicationcontrollers",
  "podtemplates",
  "apps/replicasets",
  "apps/deployments",
  "apps/statefulsets",
  "apps/daemonsets",
  "batch/jobs",
  "batch/cronjobs",
];
/** More pods than these of a namespace are not looked at when its level changes. */
const MAX_PODS_TO_CHECK = 3_000;

export function podSecurityWith(exemptions: Exemptions): AdmissionPlugin {
  return {
    name: "PodSecurity",
    operations: ["CREATE", "UPDATE"],
    resources: ["namespaces", "pods", ...WORKLOADS],
    subresources: ["ephemeralcontainers", "resize"],
    async validate(deps, request) {
      const { kind, context } = request;
      if (kind.resource === "namespaces") return judgeNamespace(deps, request, exemptions);
      const { namespace } = context.info;
      if (exemptions.namespaces.includes(namespace) || exemptions.usernames.includes(context.user.name)) return;
      const pod = checkedOf(request.object as ApiObject);
      if (!pod || exemptions.runtimeClasses.includes(pod.spec.runtimeClassName ?? "")) return;
      if (kind.resource === "pods") await judgePod(deps, request, pod);
      else warnOf(request, pod, policyIn(deps, namespace).warn);
    },
  };
}

export const podSecurity = podSecurityWith(NO_EXEMPTIONS);

async function judgePod({ cached, ...deps }: AdmissionDeps, request: AdmissionRequest, pod: Checked): Promise<void> {
  const { kind, context, object, old } = request;
  if (old && !isSignificant(object as unknown as Pod, old as unknown as Pod)) return;
  const policy = await cached.judge(() => {
    const now = policyIn({ cached, ...deps }, context.info.namespace);
    const findings = findingsOf(pod, now.enforce);
    if (findings.length === 0) return now;
    const why = `violates PodSecurity "${nameOf(now.enforce)}": ${detailsOf(findings)}`;
    throw forbidden(kind, (object as ApiObject).metadata.name ?? "", why);
  }, context.request.signal);
  warnOf(request, pod, policy.warn);
}

function warnOf({ context }: AdmissionRequest, pod: Checked, warn: LevelVersion): void {
  const findings = findingsOf(pod, warn);
  if (findings.length > 0) context.warn(`would violate PodSecurity "${nameOf(warn)}": ${detailsOf(findings)}`);
}

function policyIn({ cached }: AdmissionDeps, namespace: string): Policy {
  return policyOf(cached.get(known.namespaces, "", namespace)?.metadata.labels);
}

/** Labels must make sense; who asks for more than before hears which of the pods that are there do not meet it. */
function judgeNamespace({ cached }: AdmissionDeps, request: AdmissionRequest, exemptions: Exemptions): void {
  const { kind, object, old, context } = request;
  const { name = "", labels } = (object as unknown as Namespace).metadata;
  const problems = labelProblems(labels);
  const isNew = JSON.stringify(problems) !== JSON.stringify(labelProblems(old?.metadata.labels));
  if (problems.length > 0 && (!old || isNew)) throw invalid(kind, name, problems);
  if (!old) return;
  const [before, now] = [policyOf(old.metadata.labels).enforce, policyOf(labels).enforce];
  const isOtherVersion = now.minor !== before.minor;
  if (now.level === "privileged" || (!isOtherVersion && !isStricter(now.level, before.level))) return;
  if (exemptions.namespaces.includes(name)) return;
  const pods = [...cached.list(known.pods, name)];
  const checked = pods.slice(0, MAX_PODS_TO_CHECK);
  if (checked.length < pods.length) {
    const share = `the first ${checked.length} of ${pods.length} existing pods`;
    context.warn(`new PodSecurity enforce level only checked against ${share}`);
  }
  const judged = checked.filter(({ spec }) => !exemptions.runtimeClasses.includes(spec.runtimeClassName ?? ""));
  existingPodsWarnings(judged, name, now).forEach(context.warn);
}

function existingPodsWarnings(pods: readonly Pod[], namespace: string, enforce: LevelVersion): string[] {
  const byReasons = new Map<string, string[]>();
  for (const { metadata, spec } of pods) {
    const findings = findingsOf({ annotations: metadata.annotations ?? {}, spec }, enforce);
    if (findings.length === 0) continue;
    const reasons = findings.map(({ reason }) => reason).join(", ");
    byReasons.set(reasons, [...(byReasons.get(reasons) ?? []), metadata.name ?? ""]);
  }
  if (byReasons.size === 0) return [];
  const lines = [...byReasons].map(([reasons, names]) => {
    const [first = ""] = names.sort();
    const others = names.length - 1;
    const more = others === 0 ? "" : ` (and ${others} other ${others === 1 ? "pod" : "pods"})`;
    return `${first}${more}: ${reasons}`;
  });
  const head = `existing pods in namespace "${namespace}" violate the new PodSecurity enforce level "${nameOf(enforce)}"`;
  return [head, ...lines.sort()];
}

/** A pod, or what a workload's pods will be. */
function checkedOf(object: ApiObject): Checked | undefined {
  const { spec, template } = object as unknown as { spec?: WorkloadSpec; template?: PodTemplateSpec };
  const ofWorkload = template ?? spec?.template ?? spec?.jobTemplate?.spec?.template;
  if (ofWorkload)
    return ofWorkload.spec && { annotations: ofWorkload.metadata?.annotations ?? {}, spec: ofWorkload.spec };
  if (!spec?.containers) return undefined;
  const pod = object as unknown as Pod;
  return { annotations: pod.metadata.annotations ?? {}, spec: pod.spec };
}

interface WorkloadSpec {
  readonly containers?: unknown;
  readonly template?: PodTemplateSpec;
  readonly jobTemplate?: { readonly spec?: { readonly template?: PodTemplateSpec } };
}

/** Of what may change in a pod, images and containers that come are what its safety rests on. */
function isSignificant({ spec }: Pod, { spec: old }: Pod): boolean {
  const images = ({ containers, initContainers = [] }: Pod["spec"]) =>
    [...initContainers, ...containers].map(({ image = "" }) => image);
  const helpers = ({ ephemeralContainers = [] }: Pod["spec"]) =>
    ephemeralContainers.map(({ name, image = "" }) => `${name} ${image}`);
  return [images, helpers].some((of) => of(spec).join("\n") !== of(old).join("\n"));
}
