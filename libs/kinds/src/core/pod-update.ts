/** What of a pod may change once it exists. */
import type { Affinity, Container, NodeSelectorTerm, Pod, PodSpec, Toleration } from "@pilothouse/api/types/core-v1";
import { forbidden, invalid, sameValue } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { APP_ARMOR, MIRROR_POD } from "./pod-annotations.ts";

const MAX_INT32 = 2 ** 31 - 1;

const ONLY_THESE =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`," +
  "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
  "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** Rules for an update, beside those for any pod; while scheduling gates hold it, it may also be narrowed down. */
export function* podUpdateRules(pod: Pod, old: Pod): FieldErrors {
  yield* fixedAnnotationsRules(pod, old);
  for (const field of ["containers", "initContainers"] as const) {
    if ((pod.spec[field] ?? []).length === (old.spec[field] ?? []).length) continue;
    yield forbidden(`spec.${field}`, "pod updates may not add or remove containers");
    return;
  }
  const [deadlineError] = deadlineRules(pod.spec.activeDeadlineSeconds, old.spec.activeDeadlineSeconds);
  if (deadlineError) yield deadlineError;
  if (deadlineError && pod.spec.activeDeadlineSeconds !== undefined) return;
  yield* addedTolerationsRules(pod.spec.tolerations ?? [], old.spec.tolerations ?? []);
  yield* gateUpdateRules(pod.spec, old.spec);
  if ((old.spec.schedulingGates ?? []).length > 0) yield* narrowedRules(pod.spec, old.spec);

  const allowed = withAllowedChanges(pod.spec, old.spec);
  if (!sameValue(pod.spec, allowed)) yield forbidden("spec", `${ONLY_THESE}\n${differences(allowed, pod.spec)}`);
}

/** The old spec with every change that is allowed taken over: what else differs is forbidden. */
function withAllowedChanges(spec: PodSpec, old: PodSpec): PodSpec {
  const allowed: PodSpec = {
    ...old,
    containers: withImagesOf(spec.containers, old.containers),
    ...(old.initContainers ? { initContainers: withImagesOf(spec.initContainers ?? [], old.initContainers) } : {}),
  };
  for (const field of ["activeDeadlineSeconds", "tolerations", "schedulingGates"] as const) {
    copyField(allowed, spec, field);
  }
  const graceBefore = old.terminationGracePeriodSeconds ?? 0;
  if (graceBefore < 0 && spec.terminationGracePeriodSeconds === 1) allowed.terminationGracePeriodSeconds = 1;
  if ((old.schedulingGates ?? []).length > 0) {
    // Whether both were only narrowed down is told apart.
    copyField(allowed, spec, "nodeSelector");
    const affinity = withNodeAffinityOf(spec.affinity, old.affinity);
    if (affinity) allowed.affinity = affinity;
    else delete allowed.affinity;
  }
  return allowed;
}

/** The old affinity, to nodes as it is now; none where nothing is left of it. */
function withNodeAffinityOf(now: Affinity | undefined, old: Affinity | undefined): Affinity | undefined {
  const { nodeAffinity, ...rest } = old ?? {};
  const allowed: Affinity = { ...rest, ...(now?.nodeAffinity ? { nodeAffinity: now.nodeAffinity } : {}) };
  const isNone = Object.keys(allowed).length === 0 && !(now && nodeAffinity);
  return isNone && (!old || nodeAffinity) ? undefined : allowed;
}

/** A pod that no node may have yet may be narrowed down, never widened. */
function* narrowedRules(spec: PodSpec, old: PodSpec): FieldErrors {
  const { nodeSelector } = spec;
  if (Object.entries(old.nodeSelector ?? {}).some(([key, value]) => nodeSelector?.[key] !== value)) {
    yield invalid(
      "spec.nodeSelector",
      nodeSelector,
      "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
    );
  }
  const termsOf = ({ affinity }: PodSpec): readonly NodeSelectorTerm[] =>
    affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const [terms, before] = [termsOf(spec), termsOf(old)];
  const path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
  if (before.length > 0 && terms.length !== before.length) {
    yield invalid(path, terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
    return;
  }
  for (const [index, one] of before.entries()) {
    const term = terms[index] ?? {};
    if (!hasOnlyAdditions(term, one)) {
      yield invalid(`${path}[${index}]`, term, "only additions are allowed (no mutations or deletions)");
    }
  }
}

/** A term without requirements matches nothing: one more would widen it. */
function hasOnlyAdditions(term: NodeSelectorTerm, old: NodeSelectorTerm): boolean {
  const isNone = ({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm): boolean =>
    matchExpressions.length === 0 && matchFields.length === 0;
  if (isNone(old) && !isNone(term)) return false;
  return (["matchExpressions", "matchFields"] as const).every((field) => {
    const before = old[field] ?? [];
    return sameValue((term[field] ?? []).slice(0, before.length), before);
  });
}

function copyField(target: PodSpec, source: PodSpec, field: keyof PodSpec): void {
  if (source[field] === undefined) delete target[field];
  else Object.assign(target, { [field]: source[field] });
}

function withImagesOf(containers: readonly Container[], old: readonly Container[]): Container[] {
  return old.map((container, index) => {
    const image = containers[index]?.image;
    return image === undefined ? container : { ...container, image };
  });
}

/** It may appear and shrink, never grow or go. */
function* deadlineRules(seconds: number | undefined, old: number | undefined): FieldErrors {
  const path = "spec.activeDeadlineSeconds";
  if (seconds === undefined) {
    if (old !== undefined) yield invalid(path, null, "must not update from a positive integer to nil value");
    return;
  }
  if (seconds < 0 || seconds > MAX_INT32) {
    yield invalid(path, seconds, `must be between 0 and ${MAX_INT32}, inclusive`);
  }
  if (old !== undefined && old < seconds) yield invalid(path, seconds, "must be less than or equal to previous value");
}

function* addedTolerationsRules(tolerations: readonly Toleration[], old: readonly Toleration[]): FieldErrors {
  const withoutSeconds = ({ tolerationSeconds: _seconds, ...rest }: Toleration) => rest;
  const kept = old.every((one) => tolerations.some((now) => sameValue(withoutSeconds(now), withoutSeconds(one))));
  if (!kept) {
    yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
  }
}

function* gateUpdateRules({ schedulingGates = [] }: PodSpec, old: PodSpec): FieldErrors {
  const before = new Set((old.schedulingGates ?? []).map(({ name }) => name));
  for (const [index, { name }] of schedulingGates.entries()) {
    if (before.has(name)) continue;
    yield forbidden(
      `spec.schedulingGates[${index}].name`,
      `only deletion is allowed, but found new scheduling gate '${name}'`,
    );
  }
}

/** What was said of AppArmor, and whether it mirrors a node's own pod, is said once. */
export function* fixedAnnotationsRules({ metadata }: Pod, { metadata: old }: Pod): FieldErrors {
  const now = metadata.annotations ?? {};
  const before = old.annotations ?? {};
  const isFixed = (key: string): boolean => key === MIRROR_POD || key.startsWith(APP_ARMOR);
  const wordFor = (key: string): string => (key === MIRROR_POD ? "mirror pod annotation" : "AppArmor annotations");
  for (const key of Object.keys(before)) {
    if (!isFixed(key) || now[key] === before[key]) continue;
    yield forbidden(`metadata.annotations[${key}]`, `may not remove or update ${wordFor(key)}`);
  }
  for (const key of Object.keys(now)) {
    if (isFixed(key) && before[key] === undefined) {
      yield forbidden(`metadata.annotations[${key}]`, `may not add ${wordFor(key)}`);
    }
  }
}

/** One line for each field of the spec that differs: `  nodeName: "a" -> "b"`. */
function differences(allowed: PodSpec, spec: PodSpec): string {
  const before: Readonly<Record<string, unknown>> = { ...allowed };
  const now: Readonly<Record<string, unknown>> = { ...spec };
  return [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter((field) => !sameValue(before[field], now[field]))
    .sort()
    .map(
      (field) => `  ${field}: ${JSON.stringify(before[field]) ?? "unset"} -> ${JSON.stringify(now[field]) ?? "unset"}`,
    )
    .join("\n");
}
