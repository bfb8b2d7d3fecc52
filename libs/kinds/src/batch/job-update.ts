/** What of a Job may change once it exists. */
import type { Job, JobSpec } from "@pilothouse/api/types/batch-v1";
import type { Affinity, Container, PodSpec } from "@pilothouse/api/types/core-v1";
import { immutable, invalid, sameValue } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { isIndexed } from "./job-rules.ts";

export function* jobUpdateRules({ spec }: Job, old: Job): FieldErrors {
  yield* completionsRules(spec, old.spec);
  yield* immutable("spec.selector", spec.selector, old.spec.selector);
  yield* templateUpdateRules(spec, old);
  for (const field of ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy"] as const)
    yield* immutable(`spec.${field}`, spec[field], old.spec[field]);
  yield* immutable("spec.successPolicy", spec.successPolicy, old.spec.successPolicy);
}

/** Only an indexed Job can grow and shrink, and all of its indexes run at once then. */
function* completionsRules(spec: JobSpec, old: JobSpec): FieldErrors {
  if (!isIndexed(spec)) return yield* immutable("spec.completions", spec.completions, old.completions);
  if (spec.completions === undefined || spec.completions === old.completions) return;
  if (spec.completions !== spec.parallelism)
    yield invalid("spec.completions", spec.completions, "can only be modified in tandem with spec.parallelism");
}

/** While a Job is suspended and has no pods, a queue may say where they will run, and on how much. */
function* templateUpdateRules({ template }: JobSpec, old: Job): FieldErrors {
  const before = old.spec.template;
  if (!isSafelySuspended(old)) return yield* immutable("spec.template", template, before);
  if (!template.spec || !before.spec) return yield* immutable("spec.template.spec", template.spec, before.spec);
  const allowed = withResourcesOf(template.spec, withSchedulingOf(template.spec, before.spec));
  yield* immutable("spec.template.spec", template.spec, allowed);
}

function isSafelySuspended({ spec, status = {} }: Job): boolean {
  if (spec.suspend !== true || (status.active ?? 0) > 0) return false;
  const isMarked = status.conditions?.some(({ type, status }) => type === "Suspended" && status === "True");
  return isMarked === true || status.startTime === undefined;
}

const SCHEDULING = ["nodeSelector", "tolerations", "schedulingGates"] as const;

function withSchedulingOf(spec: PodSpec, old: PodSpec): PodSpec {
  const allowed: PodSpec = { ...old };
  for (const field of SCHEDULING) copyField(allowed, spec, field);
  const affinity = withNodeAffinityOf(spec.affinity, old.affinity);
  if (affinity) allowed.affinity = affinity;
  else delete allowed.affinity;
  return allowed;
}

/** The rest of an affinity is about other pods, and stays. */
function withNodeAffinityOf(affinity: Affinity | undefined, old: Affinity | undefined): Affinity | undefined {
  const { nodeAffinity: _old, ...others } = old ?? {};
  if (affinity?.nodeAffinity) return { ...others, nodeAffinity: affinity.nodeAffinity };
  if (affinity) return others;
  return sameValue(others, {}) ? undefined : others;
}

function withResourcesOf(spec: PodSpec, old: PodSpec): PodSpec {
  const allowed: PodSpec = { ...old, containers: resourcesTaken(spec.containers, old.containers) };
  if (old.initContainers) allowed.initContainers = resourcesTaken(spec.initContainers ?? [], old.initContainers);
  return allowed;
}

function resourcesTaken(containers: readonly Container[], old: readonly Container[]): Container[] {
  if (containers.length !== old.length) return [...old];
  return old.map((container, index) => {
    const now = containers[index];
    if (now?.name !== container.name) return container;
    const { resources: _old, ...others } = container;
    return now.resources ? { ...others, resources: now.resources } : others;
  });
}

function copyField(target: PodSpec, source: PodSpec, field: keyof PodSpec): void {
  if (source[field] === undefined) delete target[field];
  else Object.assign(target, { [field]: source[field] });
}
