/** Rules for what a Job asks for, in upstream's order. The spec of a CronJob's Jobs is judged by the same. */
import type { Job, JobSpec } from "@pilothouse/api/types/batch-v1";
import { checkDns1123Label, checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { podTemplateRules } from "../core/pod-template.ts";
import { invalid, invalidEach, notNegative, notSupported, required, tooLong } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { labelSelectorRules } from "../meta.ts";
import { generatedSelectorRules, selects } from "./job-labels.ts";
import { podFailurePolicyRules, successPolicyRules } from "./job-policy-rules.ts";

const MAX_PARALLELISM_INDEXED = 100_000;
const MAX_FAILED_INDEXES = 100_000;
/** From so many indexes on, fewer of them may run or fail at a time: their list has to fit into the status. */
const MANY_COMPLETIONS = 100_000;
const MAX_AT_A_TIME_OF_MANY = 10_000;
const MAX_MANAGED_BY_BYTES = 63;

export function* jobRules(job: Job): FieldErrors {
  const { metadata, spec } = job;
  yield* generatedSelectorRules(job);
  yield* jobSpecRules(spec, "spec");
  if (spec.selector) yield* labelSelectorRules(spec.selector, "spec.selector");
  else yield required("spec.selector");
  const labels = spec.template.metadata?.labels ?? {};
  if (!spec.selector || !selects(spec.selector, labels))
    yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`");
  const { completions = 0 } = spec;
  if (!isIndexed(spec) || completions <= 0) return;
  // Pods of an indexed Job are named after their index, also inside.
  const longest = `${metadata.name ?? ""}-${completions - 1}`;
  if (checkDns1123Label(longest).length > 0)
    yield invalid("metadata.name", metadata.name, `will not able to create pod with invalid DNS label: ${longest}`);
}

/** Without what concerns the selector, which a CronJob's template has not. */
export function* jobSpecRules(spec: JobSpec, path: string): FieldErrors {
  for (const field of ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit"] as const)
    yield* notNegative(`${path}.${field}`, spec[field]);
  for (const field of ["ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"] as const)
    yield* notNegative(`${path}.${field}`, spec[field]);
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined)
    yield required(`${path}.backoffLimitPerIndex`, "when maxFailedIndexes is specified");
  if (spec.managedBy !== undefined) yield* managedByRules(spec.managedBy, `${path}.managedBy`);
  yield* completionModeRules(spec, path);
  if (spec.podFailurePolicy) yield* podFailurePolicyRules(spec, `${path}.podFailurePolicy`);
  if (spec.successPolicy) {
    if (isIndexed(spec)) yield* successPolicyRules(spec, `${path}.successPolicy`);
    else yield invalid(`${path}.successPolicy`, spec.successPolicy, "requires indexed completion mode");
  }
  yield* podReplacementPolicyRules(spec, `${path}.podReplacementPolicy`);
  yield* podTemplateRules(spec.template, `${path}.template`);
  yield* restartPolicyRules(spec, `${path}.template.spec.restartPolicy`);
}

export function isIndexed({ completionMode }: JobSpec): boolean {
  return completionMode === "Indexed";
}

function* managedByRules(managedBy: string, field: string): FieldErrors {
  yield* domainPrefixedPathRules(managedBy, field);
  if (Buffer.byteLength(managedBy) > MAX_MANAGED_BY_BYTES) yield tooLong(field, MAX_MANAGED_BY_BYTES);
}

/** `acme.io/foo` */
function* domainPrefixedPathRules(value: string, field: string): FieldErrors {
  if (value === "") return yield required(field);
  const slash = value.indexOf("/");
  const [domain, path] = [value.slice(0, slash), value.slice(slash + 1)];
  if (slash <= 0 || path === "")
    return yield invalid(field, value, 'must be a domain-prefixed path (such as "acme.io/foo")');
  yield* invalidEach(field, domain, checkDns1123Subdomain(domain));
  if (!/^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/.test(path))
    yield invalid(field, path, "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
}

function* completionModeRules(spec: JobSpec, path: string): FieldErrors {
  const { completionMode, backoffLimitPerIndex, maxFailedIndexes } = spec;
  if (completionMode !== undefined && completionMode !== "NonIndexed" && completionMode !== "Indexed")
    yield notSupported(`${path}.completionMode`, completionMode, ["NonIndexed", "Indexed"]);
  if (isIndexed(spec)) return yield* indexedRules(spec, path);
  if (completionMode !== undefined && completionMode !== "NonIndexed") return;
  for (const [field, value] of Object.entries({ backoffLimitPerIndex, maxFailedIndexes }))
    if (value !== undefined) yield invalid(`${path}.${field}`, value, "requires indexed completion mode");
}

function* indexedRules(spec: JobSpec, path: string): FieldErrors {
  const { completions, parallelism = 0, maxFailedIndexes, backoffLimitPerIndex } = spec;
  if (completions === undefined) yield required(`${path}.completions`, "when completion mode is Indexed");
  if (parallelism > MAX_PARALLELISM_INDEXED) {
    const detail = `must be less than or equal to ${MAX_PARALLELISM_INDEXED} when completion mode is Indexed`;
    yield invalid(`${path}.parallelism`, parallelism, detail);
  }
  if (maxFailedIndexes !== undefined) {
    const field = `${path}.maxFailedIndexes`;
    if (completions !== undefined && maxFailedIndexes > completions)
      yield invalid(field, maxFailedIndexes, "must be less than or equal to completions");
    if (maxFailedIndexes > MAX_FAILED_INDEXES)
      yield invalid(field, maxFailedIndexes, `must be less than or equal to ${MAX_FAILED_INDEXES}`);
  }
  if (completions === undefined || completions <= MANY_COMPLETIONS || backoffLimitPerIndex === undefined) return;
  if (maxFailedIndexes === undefined)
    yield required(`${path}.maxFailedIndexes`, `must be specified when completions is above ${MANY_COMPLETIONS}`);
  const ofMany =
    `must be less than or equal to ${MAX_AT_A_TIME_OF_MANY} when completions are above ${MANY_COMPLETIONS} ` +
    "and used with backoff limit per index";
  if (parallelism > MAX_AT_A_TIME_OF_MANY) yield invalid(`${path}.parallelism`, parallelism, ofMany);
  if (maxFailedIndexes !== undefined && maxFailedIndexes > MAX_AT_A_TIME_OF_MANY)
    yield invalid(`${path}.maxFailedIndexes`, maxFailedIndexes, ofMany);
}

/** A failure policy can judge only pods that have ended. */
function* podReplacementPolicyRules({ podReplacementPolicy, podFailurePolicy }: JobSpec, field: string): FieldErrors {
  if (podReplacementPolicy === undefined) return;
  const known = podFailurePolicy ? ["Failed"] : ["Failed", "TerminatingOrFailed"];
  if (!known.includes(podReplacementPolicy)) yield notSupported(field, podReplacementPolicy, known);
}

function* restartPolicyRules({ template, podFailurePolicy }: JobSpec, field: string): FieldErrors {
  const restartPolicy = template.spec?.restartPolicy ?? "";
  // The default of pods is no choice that the user made.
  if (restartPolicy === "" || restartPolicy === "Always") yield required(field, 'valid values: "OnFailure", "Never"');
  else if (restartPolicy !== "OnFailure" && restartPolicy !== "Never")
    yield notSupported(field, restartPolicy, ["OnFailure", "Never"]);
  else if (podFailurePolicy && restartPolicy !== "Never")
    yield invalid(field, restartPolicy, 'only "Never" is supported when podFailurePolicy is specified');
}
