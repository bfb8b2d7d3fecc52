/** Rules for a Job's podFailurePolicy and successPolicy. */
import type {
  JobSpec,
  PodFailurePolicyOnExitCodesRequirement,
  PodFailurePolicyOnPodConditionsPattern,
  PodFailurePolicyRule,
  SuccessPolicyRule,
} from "@pilothouse/api/types/batch-v1";
import { checkQualifiedName } from "@pilothouse/selectors/names";
import {
  duplicate,
  invalid,
  invalidEach,
  invalidTogether,
  notNegative,
  notSupported,
  required,
  tooLong,
  tooMany,
} from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { countWrittenIndexes } from "./index-intervals.ts";

const MAX_RULES = 20;
const MAX_EXIT_CODES = 255;
const MAX_CONDITIONS = 20;
const MAX_SUCCEEDED_INDEXES_BYTES = 64 * 1024;

const ACTIONS = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS = ["In", "NotIn"];
const STATUSES = ["False", "True", "Unknown"];

export function* podFailurePolicyRules(spec: JobSpec, path: string): FieldErrors {
  const rules = spec.podFailurePolicy?.rules ?? [];
  if (rules.length > MAX_RULES) yield tooMany(`${path}.rules`, rules.length, MAX_RULES);
  const { containers = [], initContainers = [] } = spec.template.spec ?? {};
  const containerNames = [...containers, ...initContainers].map(({ name }) => name);
  for (const [index, rule] of rules.entries())
    yield* failureRule(spec, rule, `${path}.rules[${index}]`, containerNames);
}

function* failureRule(
  { backoffLimitPerIndex }: JobSpec,
  { action, onExitCodes, onPodConditions = [] }: PodFailurePolicyRule,
  path: string,
  containerNames: readonly string[],
): FieldErrors {
  if (action === "FailIndex") {
    if (backoffLimitPerIndex === undefined)
      yield invalid(`${path}.action`, action, "requires the backoffLimitPerIndex to be set");
  } else yield* chosen(`${path}.action`, action, ACTIONS);
  if (onExitCodes) yield* exitCodesRules(onExitCodes, `${path}.onExitCodes`, containerNames);
  if (onPodConditions.length > 0) yield* conditionsRules(onPodConditions, `${path}.onPodConditions`);
  if (onExitCodes && onPodConditions.length > 0)
    yield invalidTogether(path, "specifying both OnExitCodes and OnPodConditions is not supported");
  if (!onExitCodes && onPodConditions.length === 0)
    yield invalidTogether(path, "specifying one of OnExitCodes and OnPodConditions is required");
}

function* conditionsRules(patterns: readonly PodFailurePolicyOnPodConditionsPattern[], path: string): FieldErrors {
  if (patterns.length > MAX_CONDITIONS) yield tooMany(path, patterns.length, MAX_CONDITIONS);
  for (const [index, { type = "", status }] of patterns.entries()) {
    yield* invalidEach(`${path}[${index}].type`, type, checkQualifiedName(type));
    yield* chosen(`${path}[${index}].status`, status, STATUSES);
  }
}

function* exitCodesRules(
  { operator, containerName, ...requirement }: Partial<PodFailurePolicyOnExitCodesRequirement>,
  path: string,
  containerNames: readonly string[],
): FieldErrors {
  const values = requirement.values ?? [];
  yield* chosen(`${path}.operator`, operator, OPERATORS);
  if (containerName !== undefined && !containerNames.includes(containerName)) {
    const detail = "must be one of the container or initContainer names in the pod template";
    yield invalid(`${path}.containerName`, containerName, detail);
  }
  if (values.length === 0) yield invalid(`${path}.values`, values, "at least one value is required");
  else if (values.length > MAX_EXIT_CODES) yield tooMany(`${path}.values`, values.length, MAX_EXIT_CODES);
  const seen = new Set<number>();
  for (const [index, value] of values.entries()) {
    const at = `${path}.values[${index}]`;
    if (operator === "In" && value === 0) yield invalid(at, value, "must not be 0 for the In operator");
    if (seen.has(value)) yield duplicate(at, value);
    seen.add(value);
  }
  const isOrdered = values.every((value, index) => index === 0 || (values[index - 1] as number) <= value);
  if (!isOrdered) yield invalid(`${path}.values`, values, "must be ordered");
}

export function* successPolicyRules(spec: JobSpec, path: string): FieldErrors {
  const rules = spec.successPolicy?.rules ?? [];
  if (rules.length === 0)
    yield required(`${path}.rules`, "at least one rules must be specified when the successPolicy is specified");
  if (rules.length > MAX_RULES) yield tooMany(`${path}.rules`, rules.length, MAX_RULES);
  for (const [index, rule] of rules.entries()) yield* successRule(spec, rule, `${path}.rules[${index}]`);
}

function* successRule(
  { completions = 0 }: JobSpec,
  { succeededCount, succeededIndexes }: SuccessPolicyRule,
  path: string,
): FieldErrors {
  if (succeededCount === undefined && succeededIndexes === undefined)
    yield required(path, "at least one of succeededCount or succeededIndexes must be specified");
  let named = 0;
  if (succeededIndexes !== undefined) {
    const field = `${path}.succeededIndexes`;
    if (Buffer.byteLength(succeededIndexes) > MAX_SUCCEEDED_INDEXES_BYTES)
      yield tooLong(field, MAX_SUCCEEDED_INDEXES_BYTES);
    try {
      named = countWrittenIndexes(succeededIndexes, completions);
    } catch (error) {
      yield invalid(field, succeededIndexes, `error parsing succeededIndexes: ${(error as Error).message}`);
    }
  }
  if (succeededCount === undefined) return;
  const field = `${path}.succeededCount`;
  yield* notNegative(field, succeededCount);
  if (succeededCount > completions) {
    const detail = `must be less than or equal to ${completions} (the number of specified completions)`;
    yield invalid(field, succeededCount, detail);
  }
  if (succeededIndexes !== undefined && succeededCount > named) {
    const detail = `must be less than or equal to ${named} (the number of indexes in the specified succeededIndexes field)`;
    yield invalid(field, succeededCount, detail);
  }
}

/** One of a few words that have to be chosen from; what there is to choose is said as Go prints lists. */
function* chosen(field: string, value: string | undefined, known: readonly string[]): FieldErrors {
  if (!value) yield required(field, `valid values: [${known.map((word) => JSON.stringify(word)).join(" ")}]`);
  else if (!known.includes(value)) yield notSupported(field, value, known);
}
