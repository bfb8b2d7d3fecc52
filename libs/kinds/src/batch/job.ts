import type { Job, JobSpec } from "@pilothouse/api/types/batch-v1";
import { checkDns1123Label } from "@pilothouse/selectors/names";
import { AGE, containerColumns, selectorText, shown, wide } from "../columns.ts";
import { defaultPodTemplate } from "../core/pod-defaults.ts";
import { podTemplateWarnings } from "../core/pod-warnings.ts";
import { humanDuration } from "../duration.ts";
import { firstErrors, sameValue } from "../field-errors.ts";
import { keepField, nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { STATUS } from "../subresources.ts";
import { generateSelector, renameLabels } from "./job-labels.ts";
import { isIndexed, jobRules } from "./job-rules.ts";
import { hasJobCondition, jobStatusRules } from "./job-status.ts";
import { jobUpdateRules } from "./job-update.ts";

const DEFAULT_BACKOFF_LIMIT = 6;
const MAX_INT32 = 2 ** 31 - 1;

export const job: KindDefinition<Job> = {
  group: "batch",
  version: "v1",
  kind: "Job",
  resource: "jobs",
  singular: "job",
  shortNames: [],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  orphansByDefault: true,
  defaults: defaultJob,
  prepareForCreate: (job) => {
    startGeneration(job);
    const { labels } = job.metadata;
    const takesLabels = sameValue(labels ?? {}, job.spec.template.metadata?.labels ?? {});
    generateSelector(job);
    if (takesLabels) job.metadata.labels = { ...labels, ...job.spec.template.metadata?.labels };
    job.status = {};
  },
  renamed: renameLabels,
  prepareForUpdate: (job, old) => {
    keepField(job, old, "status");
    nextGeneration(job, old);
  },
  prepareForStatusUpdate: (job, old) => keepField(job, old, "spec"),
  validate: (job) => firstErrors(jobRules(job)),
  validateUpdate: (job, old) => firstErrors(jobUpdateRules(job, old)),
  validateStatusUpdate: (job, old) => firstErrors(jobStatusRules(job, old)),
  warnings: (job, old) => {
    if (old && job.metadata.generation === old.metadata.generation) return [];
    return [...(old ? [] : jobNameWarnings(job.metadata.name)), ...jobSpecWarnings(job.spec, "spec")];
  },
  selectableFields: ({ status }) => ({ "status.successful": String(status?.succeeded ?? 0) }),
  columns: [
    shown("Status", statusText, "Status of the job."),
    shown("Completions", completionsText, "How many pods have succeeded, of how many that must."),
    shown("Duration", durationText, "Time required to complete the job."),
    AGE,
    ...containerColumns<Job>(({ spec }) => spec.template.spec?.containers ?? []),
    wide("Selector", ({ spec }) => selectorText(spec.selector), "Which pods are its own."),
  ],
  ageColumn: false,
};

function defaultJob(job: Job): void {
  job.spec ??= { template: {} };
  const { spec, metadata } = job;
  spec.template ??= {};
  defaultPodTemplate(spec.template);
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  // Where each index has a limit of its own, all together have none.
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? DEFAULT_BACKOFF_LIMIT : MAX_INT32;
  const { labels } = spec.template.metadata ?? {};
  if (labels && Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
  spec.completionMode ??= "NonIndexed";
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? "Failed" : "TerminatingOrFailed";
  spec.manualSelector ??= false;
  defaultFailurePolicy(spec);
}

/** For Jobs, and for what CronJobs make Jobs of. In place. */
export function defaultFailurePolicy({ podFailurePolicy }: JobSpec): void {
  for (const { onPodConditions } of podFailurePolicy?.rules ?? [])
    for (const pattern of onPodConditions ?? []) pattern.status ||= "True";
}

/** Also for CronJobs: the name is the beginning of the pods' names. */
export function jobNameWarnings(name = ""): readonly string[] {
  const texts = checkDns1123Label(name);
  if (texts.length === 0) return [];
  return [
    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; " +
      `a DNS label is recommended: [${texts.join(" ")}]`,
  ];
}

export function jobSpecWarnings(spec: JobSpec, path: string): readonly string[] {
  const { completions = 0, parallelism = 0, template } = spec;
  const isTooMuch = isIndexed(spec) && completions > 100_000 && parallelism > 10_000;
  return [
    ...(isTooMuch
      ? [
          `${path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, ` +
            "Kubernetes might not be able to track completedIndexes when a big number of indexes fail",
        ]
      : []),
    ...podTemplateWarnings(template, `${path}.template`),
  ];
}

function statusText(job: Job): string {
  for (const ended of ["Complete", "Failed"]) if (hasJobCondition(job, ended)) return ended;
  if (job.metadata.deletionTimestamp !== undefined) return "Terminating";
  const told = ["Suspended", "FailureTarget", "SuccessCriteriaMet"].find((type) => hasJobCondition(job, type));
  return told ?? "Running";
}

function completionsText({ spec, status }: Job): string {
  const succeeded = status?.succeeded ?? 0;
  if (spec.completions !== undefined) return `${succeeded}/${spec.completions}`;
  const { parallelism = 0 } = spec;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function durationText({ status = {} }: Job, nowMs: number): string {
  const { startTime, completionTime } = status;
  if (startTime === undefined) return "";
  const endMs = completionTime === undefined ? nowMs : Date.parse(completionTime);
  return humanDuration(endMs - Date.parse(startTime));
}
