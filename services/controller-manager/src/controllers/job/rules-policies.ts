/** What a Job's own policies say of pods that failed, and of indexes that succeeded. Pure. */
import type {
  JobSpec,
  PodFailurePolicyOnExitCodesRequirement,
  PodFailurePolicyRule,
  SuccessPolicyRule,
} from "@pilothouse/api/types/batch-v1";
import type { ContainerStatus, Pod } from "@pilothouse/api/types/core-v1";
import {
  countCommonIndexes,
  countIndexes,
  parseIndexes,
  type Intervals,
} from "@pilothouse/kinds/batch/index-intervals";

export interface FailureJudgement {
  /** Of the rule that matched first; undefined when none did: then the failure counts. */
  readonly action?: string;
  /** Whether the failure counts against the limits. */
  readonly isCounted: boolean;
  /** Why the whole Job fails, if it does. */
  readonly jobFailure?: string;
}

/** The first rule that matches decides. */
export function judgeFailure({ podFailurePolicy }: JobSpec, pod: Pod): FailureJudgement {
  for (const [index, rule] of (podFailurePolicy?.rules ?? []).entries()) {
    const why = matchOf(rule, pod);
    if (why === undefined) continue;
    const { action } = rule;
    if (action === "Ignore") return { action, isCounted: false };
    if (action === "FailJob")
      return { action, isCounted: true, jobFailure: `${why} matching FailJob rule at index ${index}` };
    if (action === "FailIndex" || action === "Count") return { action, isCounted: true };
  }
  return { isCounted: true };
}

/** What of the pod the rule is about, in upstream's words. */
function matchOf({ onExitCodes, onPodConditions = [] }: PodFailurePolicyRule, pod: Pod): string | undefined {
  const name = `${pod.metadata.namespace ?? ""}/${pod.metadata.name ?? ""}`;
  if (onExitCodes) {
    const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
    const match = [...containerStatuses, ...initContainerStatuses].find((status) => matchesExit(status, onExitCodes));
    const exitCode = match?.state?.terminated?.exitCode;
    return match && `Container ${match.name} for pod ${name} failed with exit code ${exitCode}`;
  }
  const match = (pod.status?.conditions ?? []).find((condition) =>
    onPodConditions.some(({ type, status }) => condition.type === type && condition.status === status),
  );
  return match && `Pod ${name} has condition ${match.type}`;
}

function matchesExit(
  { name, state }: ContainerStatus,
  { containerName, operator, values }: PodFailurePolicyOnExitCodesRequirement,
): boolean {
  const exitCode = state?.terminated?.exitCode ?? 0;
  if (exitCode === 0 || (containerName !== undefined && containerName !== name)) return false;
  return operator === "In" ? values.includes(exitCode) : operator === "NotIn" && !values.includes(exitCode);
}

/** The message of the first rule that is met; undefined when none is. */
export function metSuccessRule({ successPolicy, completions = 0 }: JobSpec, succeeded: Intervals): string | undefined {
  if (!successPolicy || succeeded.length === 0) return undefined;
  const index = successPolicy.rules.findIndex((rule) => isMet(rule, succeeded, completions));
  return index < 0 ? undefined : `Matched rules at index ${index}`;
}

function isMet(
  { succeededIndexes, succeededCount }: SuccessPolicyRule,
  succeeded: Intervals,
  completions: number,
): boolean {
  if (succeededIndexes === undefined) return succeededCount !== undefined && countIndexes(succeeded) >= succeededCount;
  const wanted = parseIndexes(succeededIndexes, completions);
  if (wanted.length === 0) return false;
  const reached = countCommonIndexes(wanted, succeeded);
  return reached === countIndexes(wanted) || (succeededCount !== undefined && reached >= succeededCount);
}
