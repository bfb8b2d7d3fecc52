/**
 * What a Job's status may say. Since other controllers than ours may write it (`managedBy`), how it changes is judged, too; a rule
 * is asked only where what it is about changes, so that a status which broke it before does not block the next.
 */
import type { Job, JobStatus } from "@pilothouse/api/types/batch-v1";
import {
  duplicate,
  FIELD_IMMUTABLE,
  invalid,
  invalidTogether,
  notNegative,
  required,
  sameValue,
} from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { commonWrittenIndex, countWrittenIndexes } from "./index-intervals.ts";
import { isIndexed } from "./job-rules.ts";

/** Whether a condition of this type is True. */
export function hasJobCondition({ status }: Pick<Job, "status">, wanted: string): boolean {
  return status?.conditions?.some(({ type, status }) => type === wanted && status === "True") === true;
}

export function isJobFinished(job: Pick<Job, "status">): boolean {
  return hasJobCondition(job, "Complete") || hasJobCondition(job, "Failed");
}

const CONDITIONS = "status.conditions";

export function* jobStatusRules(job: Job, old: Job): FieldErrors {
  const changed = changesOf(job, old);
  yield* countRules(job.status ?? {});
  yield* terminalRules(job, changed);
  yield* finishedRules(job, changed);
  yield* indexRules(job, changed);
  yield* countsTogetherRules(job, changed);
  yield* successRules(job);
  yield* transitionRules(job, old, changed);
}

/** Which fields and facts are others than before. */
type Changes = Readonly<
  Record<keyof JobStatus | "finished" | "Complete" | "Failed" | "FailureTarget" | "SuccessCriteriaMet", boolean>
>;

const FIELDS = [
  "conditions",
  "startTime",
  "completionTime",
  "active",
  "succeeded",
  "failed",
  "terminating",
  "completedIndexes",
  "failedIndexes",
  "uncountedTerminatedPods",
  "ready",
] as const satisfies readonly (keyof JobStatus)[];

function changesOf(job: Job, old: Job): Changes {
  const has = (type: string): boolean => hasJobCondition(job, type) !== hasJobCondition(old, type);
  const differs = (field: keyof JobStatus): boolean => !sameValue(job.status?.[field], old.status?.[field]);
  return {
    ...(Object.fromEntries(FIELDS.map((field) => [field, differs(field)])) as Record<keyof JobStatus, boolean>),
    active: (job.status?.active ?? 0) !== (old.status?.active ?? 0),
    completedIndexes: (job.status?.completedIndexes ?? "") !== (old.status?.completedIndexes ?? ""),
    finished: isJobFinished(job) !== isJobFinished(old),
    Complete: has("Complete"),
    Failed: has("Failed"),
    FailureTarget: has("FailureTarget"),
    SuccessCriteriaMet: has("SuccessCriteriaMet"),
  };
}

function* countRules({ uncountedTerminatedPods, ...status }: JobStatus): FieldErrors {
  for (const field of ["active", "succeeded", "failed", "ready", "terminating"] as const)
    yield* notNegative(`status.${field}`, status[field]);
  const seen = new Set<string>();
  for (const list of ["succeeded", "failed"] as const)
    for (const [index, uid] of (uncountedTerminatedPods?.[list] ?? []).entries()) {
      const at = `status.uncountedTerminatedPods.${list}[${index}]`;
      if (uid === "") yield invalid(at, uid, "must not be empty");
      else if (seen.has(uid)) yield duplicate(at, uid);
      else seen.add(uid);
    }
}

/** How a Job ends: with which conditions and times together. */
function* terminalRules(job: Job, changed: Changes): FieldErrors {
  const { startTime, completionTime } = job.status ?? {};
  const isComplete = hasJobCondition(job, "Complete");
  const isFailed = hasJobCondition(job, "Failed");
  const isFailing = hasJobCondition(job, "FailureTarget");
  if ((changed.Complete || changed.Failed) && isComplete && isFailed)
    yield invalidTogether(CONDITIONS, "cannot set Complete=True and Failed=true conditions");
  if ((changed.Complete || changed.FailureTarget) && isComplete && isFailing)
    yield invalidTogether(CONDITIONS, "cannot set Complete=True and FailureTarget=true conditions");
  if (changed.Complete || changed.completionTime) {
    const field = "status.completionTime";
    if (completionTime !== undefined && !isComplete)
      yield invalid(field, completionTime, "cannot set completionTime when there is no Complete=True condition");
    if (completionTime === undefined && isComplete)
      yield required(field, "completionTime is required for Complete jobs");
  }
  if ((changed.startTime || changed.completionTime) && isBefore(completionTime, startTime))
    yield invalid("status.completionTime", completionTime, "must be equal to or after `startTime`");
  if ((changed.Failed || changed.failedIndexes) && isFailed && !isFailing)
    yield invalidTogether(CONDITIONS, "cannot set Failed=True condition without the FailureTarget=true condition");
  if ((changed.Complete || changed.SuccessCriteriaMet) && isComplete && !hasJobCondition(job, "SuccessCriteriaMet"))
    yield invalidTogether(
      CONDITIONS,
      "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    );
}

/** What nothing of may be left when a Job has ended. */
function* finishedRules(job: Job, changed: Changes): FieldErrors {
  if (!isJobFinished(job)) return;
  const { active = 0, startTime, uncountedTerminatedPods: uncounted = {} } = job.status ?? {};
  if ((changed.finished || changed.active) && active > 0)
    yield invalid("status.active", active, "active>0 is invalid for finished job");
  const neverHadToStart = job.spec.suspend === true && job.spec.completions === 0;
  if ((changed.finished || changed.startTime) && startTime === undefined && !neverHadToStart)
    yield required("status.startTime", "startTime is required for finished job");
  const isUncounted = (uncounted.succeeded ?? []).length + (uncounted.failed ?? []).length > 0;
  if ((changed.finished || changed.uncountedTerminatedPods) && isUncounted)
    yield invalid("status.uncountedTerminatedPods", uncounted, "must be empty for finished job");
}

function* indexRules({ spec, status = {} }: Job, changed: Changes): FieldErrors {
  const { completions, backoffLimitPerIndex } = spec;
  const { completedIndexes = "", failedIndexes } = status;
  if (changed.completedIndexes && completions !== undefined)
    yield* writtenRules("completedIndexes", completedIndexes, completions);
  if (changed.failedIndexes && completions !== undefined && backoffLimitPerIndex !== undefined)
    yield* writtenRules("failedIndexes", failedIndexes ?? "", completions);
  if (changed.completedIndexes && completedIndexes !== "" && !isIndexed(spec)) {
    const detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
    yield invalid("status.completedIndexes", completedIndexes, detail);
  }
  if (changed.failedIndexes && failedIndexes !== undefined && backoffLimitPerIndex === undefined) {
    const detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
    yield invalid("status.failedIndexes", failedIndexes, detail);
  }
  if (!changed.completedIndexes && !changed.failedIndexes) return;
  if (completions === undefined || completedIndexes === "" || !failedIndexes) return;
  const both = commonWrittenIndex(completedIndexes, failedIndexes, completions);
  if (both !== undefined)
    yield invalid(
      "status.failedIndexes",
      failedIndexes,
      `failedIndexes and completedIndexes overlap at index: ${both}`,
    );
}

function* writtenRules(field: "completedIndexes" | "failedIndexes", text: string, completions: number): FieldErrors {
  try {
    countWrittenIndexes(text, completions);
  } catch (error) {
    yield invalid(`status.${field}`, text, `error parsing ${field}: ${(error as Error).message}`);
  }
}

function* countsTogetherRules(job: Job, changed: Changes): FieldErrors {
  const { active = 0, ready, terminating = 0 } = job.status ?? {};
  if ((changed.finished || changed.terminating) && terminating > 0 && isJobFinished(job))
    yield invalid("status.terminating", terminating, "terminating>0 is invalid for finished job");
  if ((changed.ready || changed.active) && ready !== undefined && ready > active)
    yield invalid("status.ready", ready, "cannot set more ready pods than active");
}

function* successRules(job: Job): FieldErrors {
  const hasSucceeded = hasJobCondition(job, "SuccessCriteriaMet");
  if (hasSucceeded && hasJobCondition(job, "Failed"))
    yield invalidTogether(CONDITIONS, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
  if (hasSucceeded && hasJobCondition(job, "FailureTarget"))
    yield invalidTogether(CONDITIONS, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
  if (job.spec.successPolicy && !hasSucceeded && hasJobCondition(job, "Complete")) {
    const detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
    yield invalidTogether(CONDITIONS, detail);
  }
}

/** Ends are final, and counts only grow. */
function* transitionRules(job: Job, old: Job, changed: Changes): FieldErrors {
  const { spec, status = {} } = job;
  const { status: before = {} } = old;
  for (const type of ["Failed", "Complete", "FailureTarget"])
    if (hasJobCondition(old, type) && !hasJobCondition(job, type))
      yield invalidTogether(CONDITIONS, `cannot disable the terminal ${type}=True condition`);
  if ((status.failed ?? 0) < (before.failed ?? 0))
    yield invalid("status.failed", status.failed ?? 0, "cannot decrease the failed counter");
  // A Job whose indexes all run at once may have been made smaller.
  const mayShrink = isIndexed(spec) && spec.completions === spec.parallelism;
  if (!mayShrink && (status.succeeded ?? 0) < (before.succeeded ?? 0))
    yield invalid("status.succeeded", status.succeeded ?? 0, "cannot decrease the succeeded counter");
  if (changed.completionTime && status.completionTime !== undefined && before.completionTime !== undefined)
    yield invalid("status.completionTime", status.completionTime, FIELD_IMMUTABLE);
  const isResuming = hasJobCondition(old, "Suspended") && isSuspendedFalse(job);
  if (changed.startTime && !isResuming && before.startTime !== undefined && spec.suspend !== true)
    yield required("status.startTime", "startTime cannot be removed for unsuspended job");
  const hadSucceeded = hasJobCondition(old, "SuccessCriteriaMet");
  if (hadSucceeded && !hasJobCondition(job, "SuccessCriteriaMet"))
    yield invalidTogether(CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition");
  if (hasJobCondition(old, "Complete") && !hadSucceeded && hasJobCondition(job, "SuccessCriteriaMet")) {
    const detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
    yield invalidTogether(CONDITIONS, detail);
  }
}

function isSuspendedFalse({ status }: Job): boolean {
  return status?.conditions?.some(({ type, status }) => type === "Suspended" && status === "False") === true;
}

function isBefore(time: string | undefined, other: string | undefined): boolean {
  return time !== undefined && other !== undefined && Date.parse(time) < Date.parse(other);
}
