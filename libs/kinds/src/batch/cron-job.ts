import type { CronJob, CronJobSpec, JobSpec } from "@pilothouse/api/types/batch-v1";
import { AGE, containerColumns, orNone, selectorText, shown, wide } from "../columns.ts";
import { defaultPodTemplate } from "../core/pod-defaults.ts";
import { ageOf } from "../duration.ts";
import { firstErrors, invalid, notNegative, notSupported, oneOf, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField, nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { STATUS } from "../subresources.ts";
import { parseCron } from "./cron-schedule.ts";
import { jobSpecRules } from "./job-rules.ts";
import { defaultFailurePolicy, jobNameWarnings, jobSpecWarnings } from "./job.ts";
import { timeZoneNamed } from "./time-zone.ts";

/** What is left of a Job's 63 characters when `-` and the minute of its time are appended. */
const MAX_NAME_CHARACTERS = 52;
const ZONE_PART = /^[A-Za-z.\-_0-9+]{1,14}$/;
const TEMPLATE = "spec.jobTemplate.spec";

export const cronJob: KindDefinition<CronJob> = {
  group: "batch",
  version: "v1",
  kind: "CronJob",
  resource: "cronjobs",
  singular: "cronjob",
  shortNames: ["cj"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  defaults: (cronJob) => {
    cronJob.spec ??= { schedule: "", jobTemplate: {} };
    defaultCronJob(cronJob.spec);
  },
  prepareForCreate: (cronJob) => {
    startGeneration(cronJob);
    cronJob.status = {};
  },
  prepareForUpdate: (cronJob, old) => {
    keepField(cronJob, old, "status");
    nextGeneration(cronJob, old);
  },
  prepareForStatusUpdate: (cronJob, old) => keepField(cronJob, old, "spec"),
  validate: (cronJob) => firstErrors(rules(cronJob)),
  validateCreate: (cronJob) => firstErrors(createRules(cronJob)),
  validateUpdate: (cronJob, old) => firstErrors(updateRules(cronJob, old)),
  warnings: ({ metadata, spec }, old) => {
    if (old && metadata.generation === old.metadata.generation) return [];
    return [...(old ? [] : jobNameWarnings(metadata.name)), ...jobSpecWarnings(jobSpecOf(spec), TEMPLATE)];
  },
  columns: [
    shown("Schedule", ({ spec }) => spec.schedule ?? "", "When it makes Jobs, as a cron expression."),
    shown("Timezone", ({ spec }) => orNone(spec.timeZone), "Whose clock the schedule is about."),
    shown("Suspend", ({ spec }) => suspendText(spec.suspend), "Whether it makes no Jobs for now."),
    shown("Active", ({ status }) => (status?.active ?? []).length, "How many of its Jobs have not ended.", "integer"),
    shown("Last Schedule", lastScheduleText, "When it made a Job last."),
    AGE,
    ...containerColumns<CronJob>(({ spec }) => jobSpecOf(spec).template?.spec?.containers ?? []),
    wide("Selector", ({ spec }) => selectorText(jobSpecOf(spec).selector), "Which pods are its Jobs' own."),
  ],
  ageColumn: false,
};

function defaultCronJob(spec: CronJobSpec): void {
  spec.concurrencyPolicy ||= "Allow";
  spec.suspend ??= false;
  spec.successfulJobsHistoryLimit ??= 3;
  spec.failedJobsHistoryLimit ??= 1;
  spec.jobTemplate ??= {};
  spec.jobTemplate.spec ??= { template: {} };
  spec.jobTemplate.spec.template ??= {};
  defaultPodTemplate(spec.jobTemplate.spec.template);
  defaultFailurePolicy(spec.jobTemplate.spec);
}

function jobSpecOf({ jobTemplate }: CronJobSpec): JobSpec {
  return jobTemplate?.spec ?? { template: {} };
}

function* rules({ spec }: CronJob): FieldErrors {
  if (spec.schedule) yield* scheduleRules(spec.schedule);
  else yield required("spec.schedule");
  yield* notNegative("spec.startingDeadlineSeconds", spec.startingDeadlineSeconds);
  yield* oneOf("spec.concurrencyPolicy", spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"]);
  const template = jobSpecOf(spec);
  yield* jobSpecRules(template, TEMPLATE);
  if (template.selector) yield invalid(`${TEMPLATE}.selector`, template.selector, "`selector` will be auto-generated");
  if (template.manualSelector === true) yield notSupported(`${TEMPLATE}.manualSelector`, true, ["nil", "false"]);
  yield* notNegative("spec.successfulJobsHistoryLimit", spec.successfulJobsHistoryLimit);
  yield* notNegative("spec.failedJobsHistoryLimit", spec.failedJobsHistoryLimit);
}

function* scheduleRules(schedule: string): FieldErrors {
  try {
    parseCron(schedule);
  } catch (error) {
    yield invalid("spec.schedule", schedule, (error as Error).message);
  }
}

function* createRules({ metadata, spec }: CronJob): FieldErrors {
  yield* zoneInScheduleRules(spec, false);
  yield* timeZoneRules(spec.timeZone);
  const { name = "" } = metadata;
  if (name.length > MAX_NAME_CHARACTERS)
    yield invalid("metadata.name", name, `must be no more than ${MAX_NAME_CHARACTERS} characters`);
}

function* updateRules({ spec }: CronJob, { spec: old }: CronJob): FieldErrors {
  yield* zoneInScheduleRules(spec, (old.schedule ?? "").includes("TZ"));
  if (spec.timeZone !== old.timeZone) yield* timeZoneRules(spec.timeZone);
}

/** The zone has its own field; only a schedule that names one already may go on doing so. */
function* zoneInScheduleRules({ schedule, timeZone }: CronJobSpec, isAllowed: boolean): FieldErrors {
  if (!schedule?.includes("TZ")) return;
  const field = "spec.schedule";
  if (!isAllowed) yield invalid(field, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
  else if (timeZone !== undefined)
    yield invalid(field, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
}

function* timeZoneRules(timeZone: string | undefined): FieldErrors {
  if (timeZone === undefined) return;
  const field = "spec.timeZone";
  if (timeZone === "") return yield invalid(field, timeZone, "timeZone must be nil or non-empty string");
  const isNamed = timeZone
    .split("/")
    .every((part) => part !== "." && part !== ".." && !part.startsWith("-") && ZONE_PART.test(part));
  if (!isNamed) return yield invalid(field, timeZone, `unknown time zone ${timeZone}`);
  if (timeZone.toLowerCase() === "local") {
    const detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
    yield invalid(field, timeZone, detail);
  }
  if (timeZone !== "Local" && !timeZoneNamed(timeZone)) yield invalid(field, timeZone, `unknown time zone ${timeZone}`);
}

function suspendText(suspend: boolean | undefined): string {
  if (suspend === undefined) return "<unset>";
  return suspend ? "True" : "False";
}

function lastScheduleText({ status }: CronJob, nowMs: number): string {
  return status?.lastScheduleTime === undefined ? "<none>" : ageOf(status.lastScheduleTime, nowMs);
}
