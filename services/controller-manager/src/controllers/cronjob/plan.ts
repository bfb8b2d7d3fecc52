/**
 * What a CronJob does now: which of its Jobs it has done with, whether it starts another one, which old ones go. Pure.
 *
 * A Job is named by the minute of its time: so no time has two, whoever makes it and however often.
 */
import type { CronJob, CronJobStatus, Job } from "@pilothouse/api/types/batch-v1";
import type { ObjectReference } from "@pilothouse/api/types/core-v1";
import { hasJobCondition, isJobFinished } from "@pilothouse/kinds/batch/job-status";
import type { CronSchedule } from "@pilothouse/kinds/batch/cron-schedule";
import type { TimeZone } from "@pilothouse/kinds/batch/time-zone";
import { controllerReference } from "../../core/ownership.ts";
import { timestampOf } from "../../core/values.ts";
import { dueTime, nextLookMs, scheduleOf, zoneOf } from "./rules-schedule.ts";

export const SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp";

export interface CronEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export interface Settled {
  readonly status: CronJobStatus;
  readonly events: readonly CronEvent[];
}

/** @param isGone what the API says of an active Job that is not among `jobs` */
export function settle(cronJob: CronJob, jobs: readonly Job[], isGone: (active: ObjectReference) => boolean): Settled {
  const { status = {} } = cronJob;
  const events: CronEvent[] = [];
  let active = status.active ?? [];
  const forget = (uid: string | undefined): void => void (active = active.filter((one) => one.uid !== uid));
  for (const job of jobs) {
    const { uid, name = "" } = job.metadata;
    const isKnown = active.some((one) => one.uid === uid);
    if (isKnown && isJobFinished(job)) {
      const condition = hasJobCondition(job, "Complete") ? "Complete" : "Failed";
      events.push(normal("SawCompletedJob", `Saw completed job: ${name}, condition: ${condition}`));
      forget(uid);
    } else if (!isKnown && !isJobFinished(job))
      events.push(warning("UnexpectedJob", `Saw a job that the controller did not create or forgot: ${name}`));
  }
  for (const one of active) {
    if (jobs.some(({ metadata }) => metadata.uid === one.uid) || !isGone(one)) continue;
    events.push(normal("MissingJob", `Active job went missing: ${one.name ?? ""}`));
    forget(one.uid);
  }
  const lastSuccessfulTime = latest(jobs, status.lastSuccessfulTime);
  return { status: { ...withActive(status, active), ...(lastSuccessfulTime ? { lastSuccessfulTime } : {}) }, events };
}

export type Decision =
  | { readonly do: "wait"; readonly events: readonly CronEvent[]; readonly wakeAtMs?: number }
  | {
      readonly do: "start";
      readonly job: Job;
      readonly atMs: number;
      /** These go first. */
      readonly replaced: readonly ObjectReference[];
      readonly events: readonly CronEvent[];
      readonly wakeAtMs?: number;
    };

/** @param cronJob with its settled status */
export function decide(cronJob: CronJob, nowMs: number): Decision {
  const { metadata, spec } = cronJob;
  if (metadata.deletionTimestamp !== undefined) return wait();
  const zone = zoneOf(cronJob);
  if (!zone) {
    const { timeZone = "" } = spec;
    const message = `invalid timeZone: ${JSON.stringify(timeZone)}: unknown time zone ${timeZone}`;
    return wait([warning("UnknownTimeZone", message)]);
  }
  if (spec.suspend === true) return wait();
  let schedule: CronSchedule;
  try {
    schedule = scheduleOf(cronJob);
  } catch (error) {
    const message = `unparseable schedule: ${JSON.stringify(spec.schedule)} : ${(error as Error).message}`;
    return wait([warning("UnparseableSchedule", message)]);
  }
  return decideBySchedule(cronJob, schedule, zone, nowMs);
}

function decideBySchedule(cronJob: CronJob, schedule: CronSchedule, zone: TimeZone, nowMs: number): Decision {
  const { spec, status = {} } = cronJob;
  const wakeAtMs = nextLookMs(cronJob, schedule, nowMs);
  const events = spec.schedule.includes("TZ") ? [unsupportedZone(spec.schedule)] : [];
  const due = dueOrProblem(cronJob, schedule, nowMs);
  if ("problem" in due)
    return wait([...events, warning("InvalidSchedule", `invalid schedule: ${spec.schedule} : ${due.problem}`)]);
  const { atMs } = due;
  if (atMs === undefined) return wait(events, wakeAtMs);
  if (due.missed === "many") events.push(warning("TooManyMissedTimes", TOO_MANY));
  if (atMs + (spec.startingDeadlineSeconds ?? Infinity) * 1_000 < nowMs) {
    const time = new Date(atMs).toUTCString().replace("GMT", "+0000");
    return wait([...events, warning("MissSchedule", `Missed scheduled time to start a job: ${time}`)], wakeAtMs);
  }
  const job = jobAt(cronJob, zone, atMs);
  const active = status.active ?? [];
  const isStarted = active.some(({ name }) => name === job.metadata.name);
  if (isStarted || status.lastScheduleTime === timestampOf(atMs)) return wait(events, wakeAtMs);
  if (spec.concurrencyPolicy === "Forbid" && active.length > 0) {
    const message = "Not starting job because prior execution is running and concurrency policy is Forbid";
    return wait([...events, normal("JobAlreadyActive", message)], wakeAtMs);
  }
  const replaced = spec.concurrencyPolicy === "Replace" ? active : [];
  const nextMs = nextLookMs(
    { ...cronJob, status: { ...status, lastScheduleTime: timestampOf(atMs) } },
    schedule,
    nowMs,
  );
  return { do: "start", job, atMs, replaced, events, ...(nextMs === undefined ? {} : { wakeAtMs: nextMs }) };
}

const TOO_MANY = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";

function dueOrProblem(
  cronJob: CronJob,
  schedule: CronSchedule,
  nowMs: number,
): ReturnType<typeof dueTime> | { readonly problem: string } {
  try {
    return dueTime(cronJob, schedule, nowMs);
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

/** The status once `job` runs, and those that it replaced do no more. */
export function withStarted(
  status: CronJobStatus,
  job: Job,
  atMs: number,
  replaced: readonly ObjectReference[],
): CronJobStatus {
  const { name = "", namespace = "", uid = "", resourceVersion = "" } = job.metadata;
  const reference = { apiVersion: "batch/v1", kind: "Job", name, namespace, uid, resourceVersion };
  const others = (status.active ?? []).filter(
    (one) => one.uid !== uid && !replaced.some((gone) => gone.uid === one.uid),
  );
  return { ...withActive(status, [...others, reference]), lastScheduleTime: timestampOf(atMs) };
}

/** Jobs that have ended and that nobody asked to keep: the oldest of each kind of end. */
export function surplusJobs({ spec }: CronJob, jobs: readonly Job[]): Job[] {
  const ended = (condition: string, limit: number | undefined): Job[] => {
    const inOrder = jobs.filter((job) => hasJobCondition(job, condition)).sort(byStart);
    return inOrder.slice(0, Math.max(0, inOrder.length - (limit ?? Infinity)));
  };
  return [...ended("Complete", spec.successfulJobsHistoryLimit), ...ended("Failed", spec.failedJobsHistoryLimit)];
}

function jobAt(cronJob: CronJob, zone: TimeZone, atMs: number): Job {
  const { name = "", namespace = "" } = cronJob.metadata;
  const { metadata: { labels = {}, annotations = {} } = {}, spec } = cronJob.spec.jobTemplate;
  return {
    metadata: {
      name: `${name}-${Math.floor(atMs / 60_000)}`,
      namespace,
      labels: { ...labels },
      annotations: { ...annotations, [SCHEDULED_AT]: timeIn(zone, atMs) },
      ownerReferences: [controllerReference({ ...cronJob, apiVersion: "batch/v1", kind: "CronJob" })],
    },
    spec: spec ?? { template: {} },
  };
}

/** `2026-01-01T09:00:00+09:00` */
function timeIn({ offsetMsAt }: TimeZone, atMs: number): string {
  const offsetMs = offsetMsAt(atMs);
  const wall = new Date(atMs + offsetMs).toISOString().slice(0, 19);
  if (offsetMs === 0) return `${wall}Z`;
  const clock = new Date(Math.abs(offsetMs)).toISOString().slice(11, 16);
  return `${wall}${offsetMs < 0 ? "-" : "+"}${clock}`;
}

function latest(jobs: readonly Job[], known: string | undefined): string | undefined {
  const times = jobs
    .filter((job) => hasJobCondition(job, "Complete"))
    .flatMap(({ status }) => status?.completionTime ?? []);
  return [...times, ...(known === undefined ? [] : [known])].sort().at(-1);
}

function byStart(a: Job, b: Job): number {
  const [one, other] = [a, b].map(({ status }) => status?.startTime ?? "9999") as [string, string];
  if (one !== other) return one < other ? -1 : 1;
  return (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1;
}

function withActive({ active: _active, ...status }: CronJobStatus, active: ObjectReference[]): CronJobStatus {
  return active.length === 0 ? status : { ...status, active };
}

function unsupportedZone(schedule: string): CronEvent {
  return warning(
    "UnsupportedSchedule",
    `CRON_TZ or TZ used in schedule ${JSON.stringify(schedule)} is not officially supported, ` +
      "see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
  );
}

function wait(events: readonly CronEvent[] = [], wakeAtMs?: number): Decision {
  return { do: "wait", events, ...(wakeAtMs === undefined ? {} : { wakeAtMs }) };
}

function normal(reason: string, message: string): CronEvent {
  return { type: "Normal", reason, message };
}

function warning(reason: string, message: string): CronEvent {
  return { type: "Warning", reason, message };
}
