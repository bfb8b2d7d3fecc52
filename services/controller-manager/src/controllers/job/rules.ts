/** What decides a Job's end, row by row: the first that is so. Pure. */
import type { JobCondition } from "@pilothouse/api/types/batch-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { countIndexes } from "@pilothouse/kinds/batch/index-intervals";
import type { Observed } from "./plan-observe.ts";
import { judgeFailure, metSuccessRule } from "./rules-policies.ts";
import { hasPodFailed, isSuspended } from "./rules-tracking.ts";

/** How the Job will end, once its pods have: upstream tells this first, and `Complete` or `Failed` after it. */
export interface Verdict {
  readonly type: "SuccessCriteriaMet" | "FailureTarget";
  readonly reason: string;
  readonly message: string;
  /** The Job's status says so already: only then its pods go. */
  readonly isTold: boolean;
}

interface Rule {
  readonly name: string;
  readonly why: string;
  readonly verdict: (observed: Observed) => Verdict | undefined;
}

export const verdictRules: readonly Rule[] = [
  {
    name: "told success",
    why: "ends are final",
    verdict: ({ job }) => told(job.status?.conditions, "SuccessCriteriaMet"),
  },
  { name: "told failure", why: "ends are final", verdict: ({ job }) => told(job.status?.conditions, "FailureTarget") },
  { name: "failure policy", why: "the user knows failures that no retry mends", verdict: failedByPolicy },
  {
    name: "backoff limit",
    why: "it has been tried often enough",
    verdict: (observed) =>
      isPastBackoffLimit(observed)
        ? failure("BackoffLimitExceeded", "Job has reached the specified backoff limit")
        : undefined,
  },
  {
    name: "deadline",
    why: "it has been tried long enough",
    verdict: (observed) =>
      (deadlineMs(observed) ?? Infinity) <= observed.nowMs
        ? failure("DeadlineExceeded", "Job was active longer than specified deadline")
        : undefined,
  },
  {
    name: "failed indexes",
    why: "more of them failed than the user bears",
    verdict: ({ job, indexes }) =>
      countIndexes(indexes?.failed ?? []) > (job.spec.maxFailedIndexes ?? Infinity)
        ? failure("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
        : undefined,
  },
  { name: "all indexes decided", why: "nothing is left to try", verdict: allDecided },
  { name: "success policy", why: "the user has what is needed", verdict: succeededByPolicy },
];

export function verdictOf(observed: Observed): Verdict | undefined {
  for (const { verdict } of verdictRules) {
    const found = verdict(observed);
    if (found) return found;
  }
  return undefined;
}

export const COMPLETED: Verdict = {
  type: "SuccessCriteriaMet",
  reason: "CompletionsReached",
  message: "Reached expected number of succeeded pods",
  isTold: false,
};

/** When the Job will have been active for too long; undefined when it may take as long as it takes. */
export function deadlineMs({ job, startedAtMs }: Observed): number | undefined {
  const { activeDeadlineSeconds } = job.spec;
  if (activeDeadlineSeconds === undefined || startedAtMs === undefined || isSuspended(job.spec)) return undefined;
  return startedAtMs + activeDeadlineSeconds * 1_000;
}

function failure(reason: string, message: string): Verdict {
  return { type: "FailureTarget", reason, message, isTold: false };
}

function told(conditions: readonly JobCondition[] | undefined, type: Verdict["type"]): Verdict | undefined {
  const condition = conditions?.find((one) => one.type === type && one.status === "True");
  return condition && { type, reason: condition.reason ?? "", message: condition.message ?? "", isTold: true };
}

function failedByPolicy({ job, pods }: Observed): Verdict | undefined {
  if (!job.spec.podFailurePolicy) return undefined;
  for (const pod of pods) {
    if (!hasPodFailed(pod, job.spec)) continue;
    const { jobFailure } = judgeFailure(job.spec, pod);
    if (jobFailure !== undefined) return failure("PodFailurePolicy", jobFailure);
  }
  return undefined;
}

function isPastBackoffLimit({ job, pods, failed }: Observed): boolean {
  const { backoffLimit = 6, template } = job.spec;
  if (failed > backoffLimit) return true;
  if (template.spec?.restartPolicy !== "OnFailure") return false;
  // Pods that are restarted in place never fail; their restarts count instead.
  const restarts = pods.filter(isUnderWay).reduce((sum, pod) => sum + restartsOf(pod), 0);
  return backoffLimit === 0 ? restarts > 0 : restarts >= backoffLimit;
}

function isUnderWay({ status }: Pod): boolean {
  return status?.phase === "Running" || status?.phase === "Pending";
}

function restartsOf({ status }: Pod): number {
  const statuses = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  return statuses.reduce((sum, { restartCount }) => sum + restartCount, 0);
}

function allDecided({ job, indexes }: Observed): Verdict | undefined {
  const failed = countIndexes(indexes?.failed ?? []);
  if (!indexes || failed === 0) return undefined;
  const decided = failed + countIndexes(indexes.succeeded);
  return decided >= (job.spec.completions ?? 0) ? failure("FailedIndexes", "Job has failed indexes") : undefined;
}

function succeededByPolicy({ job, indexes }: Observed): Verdict | undefined {
  const message = indexes && metSuccessRule(job.spec, indexes.succeeded);
  return message === undefined
    ? undefined
    : { type: "SuccessCriteriaMet", reason: "SuccessPolicy", message, isTold: false };
}
