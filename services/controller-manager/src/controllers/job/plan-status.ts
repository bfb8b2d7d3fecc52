/**
 * What a Job tells, and which pods may go because it has told. Pure.
 *
 * A pod is counted once, whatever dies in between: first its uid stands in `uncountedTerminatedPods`, then its finalizer goes, then
 * the count grows and the uid goes, in one write. Indexes need no uids: an index is in the list or not.
 */
import type { JobCondition, JobStatus } from "@pilothouse/api/types/batch-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { countIndexes, formatIndexes, hasIndex } from "@pilothouse/kinds/batch/index-intervals";
import { isPodActive, isPodReady } from "../../core/pods.ts";
import { timestampOf } from "../../core/values.ts";
import { indexOf } from "./rules-indexes.ts";
import type { Observed } from "./plan-observe.ts";
import { judgeFailure } from "./rules-policies.ts";
import { COMPLETED, type Verdict } from "./rules.ts";
import { hasPodFailed, isSuspended, isTracked } from "./rules-tracking.ts";

/** What became of the plan for pods. */
export interface PodsOutcome {
  readonly created: number;
  readonly deleted: readonly Pod[];
}

export interface JobEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export interface StatusPlan {
  readonly status: JobStatus;
  /** They lose their finalizer once this status is stored. */
  readonly untrack: readonly Pod[];
  /** To be told once this status is stored. */
  readonly events: readonly JobEvent[];
}

/** So many uids fit into a status of some 20 kB. */
const MAX_UNCOUNTED = 500;

export function planStatus(observed: Observed, decided: Verdict | undefined, outcome: PodsOutcome): StatusPlan {
  const { job, terminating, ready, startedAtMs } = observed;
  const active = observed.active.length + outcome.created - outcome.deleted.length;
  const verdict = decided ?? completed(observed, active);
  const counts = countPods(observed, verdict?.isTold ? verdict : undefined);
  const base: JobStatus = {
    ...job.status,
    ...(startedAtMs === undefined ? {} : { startTime: job.status?.startTime ?? timestampOf(startedAtMs) }),
    ...counts.status,
    active,
    ready: ready - outcome.deleted.filter((pod) => observed.active.includes(pod) && isPodReady(pod)).length,
    terminating: terminating + outcome.deleted.length,
  };
  const isWatched = verdict === undefined && job.metadata.deletionTimestamp === undefined;
  const paused = isWatched ? pauseOrResume(observed, base) : { status: base, events: [] };
  const ended = verdict ? end(observed, verdict, paused.status, counts.untrack.length === 0) : paused;
  return { status: withoutZeros(ended.status), untrack: counts.untrack, events: ended.events };
}

/** All that it asks for has been done. */
function completed({ job, succeeded }: Observed, active: number): Verdict | undefined {
  const { completions } = job.spec;
  const isDone = completions === undefined ? succeeded > 0 : succeeded >= completions;
  return isDone && active === 0 ? COMPLETED : undefined;
}

interface Counts {
  readonly status: Partial<JobStatus>;
  readonly untrack: readonly Pod[];
}

function countPods(observed: Observed, verdict: Verdict | undefined): Counts {
  const { job, pods, indexes } = observed;
  const { status = {} } = job;
  const tracked = pods.filter(isTracked);
  const isKept = (uid: string): boolean => tracked.some(({ metadata }) => metadata.uid === uid);
  const told = {
    succeeded: status.uncountedTerminatedPods?.succeeded ?? [],
    failed: status.uncountedTerminatedPods?.failed ?? [],
  };
  const succeeded = told.succeeded.filter(isKept);
  const failed = told.failed.filter(isKept);
  const counted = {
    succeeded: (status.succeeded ?? 0) + told.succeeded.length - succeeded.length,
    failed: (status.failed ?? 0) + told.failed.length - failed.length,
  };
  const untrack: Pod[] = [];
  let newIndexes = 0;
  for (const pod of tracked) {
    if (newIndexes + succeeded.length + failed.length >= MAX_UNCOUNTED) break;
    if (!mayGo(observed, pod, verdict)) continue;
    untrack.push(pod);
    const { uid = "" } = pod.metadata;
    const counts = countsAs(observed, pod, verdict);
    if (counts === "succeeded" && indexes) {
      const index = indexOf(pod, job.spec);
      if (index !== undefined && !hasIndex(indexes.succeededBefore, index)) newIndexes++;
    } else if (counts === "succeeded" && !succeeded.includes(uid)) succeeded.push(uid);
    else if (counts === "failed" && !failed.includes(uid)) failed.push(uid);
  }
  const uncountedTerminatedPods = {
    ...(succeeded.length > 0 ? { succeeded } : {}),
    ...(failed.length > 0 ? { failed } : {}),
  };
  if (!indexes) return { status: { ...counted, uncountedTerminatedPods }, untrack };
  return {
    status: {
      ...counted,
      uncountedTerminatedPods,
      succeeded: countIndexes(indexes.succeeded),
      completedIndexes: formatIndexes(indexes.succeeded),
      ...(indexes.failed ? { failedIndexes: formatIndexes(indexes.failed) } : {}),
    },
    untrack,
  };
}

/** Whether nothing is lost when the pod goes. */
function mayGo({ job, indexes }: Observed, pod: Pod, verdict: Verdict | undefined): boolean {
  if (job.metadata.deletionTimestamp !== undefined || pod.status?.phase === "Succeeded") return true;
  if (verdict) return !isPodActive(pod);
  if (!hasPodFailed(pod, job.spec)) return false;
  const index = indexOf(pod, job.spec);
  return index === undefined || indexes?.awaitingSuccessor.get(index) !== pod;
}

function countsAs(
  { job, indexes }: Observed,
  pod: Pod,
  verdict: Verdict | undefined,
): "succeeded" | "failed" | "nothing" {
  const { uid = "" } = pod.metadata;
  const isTold = job.status?.uncountedTerminatedPods?.failed?.includes(uid) === true;
  if (pod.status?.phase === "Succeeded" && !isTold) return "succeeded";
  // Where the Job fails, whoever has not ended has failed; where it has succeeded, whoever was sent away has not.
  const hasFailed = verdict
    ? verdict.type === "FailureTarget" || pod.status?.phase === "Failed"
    : hasPodFailed(pod, job.spec);
  if (!hasFailed || (indexes && indexOf(pod, job.spec) === undefined)) return "nothing";
  return judgeFailure(job.spec, pod).isCounted ? "failed" : "nothing";
}

function pauseOrResume({ job, nowMs }: Observed, status: JobStatus): Pick<StatusPlan, "status" | "events"> {
  const was = status.conditions?.find(({ type }) => type === "Suspended");
  if (isSuspended(job.spec)) {
    // While it is suspended its deadline does not draw nearer.
    const { startTime: _startTime, ...paused } = status;
    if (was?.status === "True") return { status: paused, events: [] };
    const conditions = withJobCondition(
      status,
      "Suspended",
      "True",
      { reason: "JobSuspended", message: "Job suspended" },
      nowMs,
    );
    return { status: { ...paused, conditions }, events: [normal("Suspended", "Job suspended")] };
  }
  if (was?.status !== "True") return { status, events: [] };
  const conditions = withJobCondition(
    status,
    "Suspended",
    "False",
    { reason: "JobResumed", message: "Job resumed" },
    nowMs,
  );
  return {
    status: { ...status, conditions, startTime: timestampOf(nowMs) },
    events: [normal("Resumed", "Job resumed")],
  };
}

/** First it is told how the Job will end; that it has ended, when all of its pods have, and are counted. */
function end(
  { job, nowMs }: Observed,
  verdict: Verdict,
  status: JobStatus,
  nothingToUntrack: boolean,
): Pick<StatusPlan, "status" | "events"> {
  if (!verdict.isTold)
    return {
      status: { ...status, conditions: withJobCondition(status, verdict.type, "True", verdict, nowMs) },
      events: [],
    };
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const pods = (status.active ?? 0) + (status.terminating ?? 0) + succeeded.length + failed.length;
  const isOver = nothingToUntrack && pods === 0;
  if (!isOver) return { status, events: [] };
  if (verdict.type === "FailureTarget") {
    const { reason, message } = verdict;
    const conditions = withJobCondition(status, "Failed", "True", verdict, nowMs);
    return { status: { ...status, conditions }, events: [{ type: "Warning", reason, message }] };
  }
  const conditions = withJobCondition(status, "Complete", "True", verdict, nowMs);
  const tooMany = (status.succeeded ?? 0) > (job.spec.completions ?? Infinity);
  const message = "Too many succeeded pods running after completion count reached";
  return {
    status: { ...status, conditions, completionTime: timestampOf(nowMs) },
    events: [
      ...(tooMany ? [{ type: "Warning", reason: "TooManySucceededPods", message } as const] : []),
      normal("Completed", "Job completed"),
    ],
  };
}

function withJobCondition(
  { conditions = [] }: JobStatus,
  type: string,
  status: "True" | "False",
  { reason, message }: Pick<Verdict, "reason" | "message">,
  nowMs: number,
): JobCondition[] {
  const at = timestampOf(nowMs);
  const condition = { type, status, lastProbeTime: at, lastTransitionTime: at, reason, message };
  if (!conditions.some((one) => one.type === type)) return [...conditions, condition];
  return conditions.map((one) => (one.type === type ? condition : one));
}

/** Counts that upstream leaves out when they are 0. */
function withoutZeros(status: JobStatus): JobStatus {
  const kept = { ...status };
  for (const field of ["active", "succeeded", "failed"] as const) if (kept[field] === 0) delete kept[field];
  if (kept.completedIndexes === "") delete kept.completedIndexes;
  return kept;
}

function normal(reason: string, message: string): JobEvent {
  return { type: "Normal", reason, message };
}
