/** What a Job's pods amount to, before anything is decided. Pure. */
import type { Job } from "@pilothouse/api/types/batch-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { countIndexes } from "@pilothouse/kinds/batch/index-intervals";
import { isIndexed } from "@pilothouse/kinds/batch/job-rules";
import { isPodActive, isPodReady } from "../../core/pods.ts";
import { nextBackoff, NO_FAILURES, type BackoffRecord } from "./rules-backoff.ts";
import { indexOf, indexState, type IndexState } from "./rules-indexes.ts";
import { judgeFailure } from "./rules-policies.ts";
import { hasPodFailed, isPodTerminating, isSuspended, isTracked } from "./rules-tracking.ts";

export interface Observed {
  readonly job: Job;
  readonly pods: readonly Pod[];
  readonly active: readonly Pod[];
  readonly ready: number;
  readonly terminating: number;
  /** All that have succeeded or failed, whether the status counts them already or not. */
  readonly succeeded: number;
  readonly failed: number;
  /** Of indexed Jobs. */
  readonly indexes: IndexState | undefined;
  readonly backoff: BackoffRecord;
  /** Epoch milliseconds; undefined while it is suspended and has not begun. */
  readonly startedAtMs: number | undefined;
  readonly nowMs: number;
}

/**
 * @param pods those that the Job controls
 * @param before what is remembered of failures; undefined after a restart: then the pods that are still there tell it
 */
export function observe(job: Job, pods: readonly Pod[], before: BackoffRecord | undefined, nowMs: number): Observed {
  const { spec, status = {} } = job;
  const { succeeded: uncountedSucceeded = [], failed: uncountedFailed = [] } = status.uncountedTerminatedPods ?? {};
  const indexes = isIndexed(spec) ? indexState(job, pods) : undefined;
  const valid = pods.filter((pod) => !indexes || indexOf(pod, spec) !== undefined);
  const hasSucceeded = (pod: Pod): boolean => pod.status?.phase === "Succeeded";
  const isNew = (pod: Pod, told: readonly string[]): boolean =>
    isTracked(pod) && !told.includes(pod.metadata.uid ?? "");
  const newlySucceeded = valid.filter((pod) => hasSucceeded(pod) && isNew(pod, uncountedSucceeded));
  const newlyFailed = valid.filter((pod) => hasPodFailed(pod, spec) && isNew(pod, uncountedFailed));
  const counted = newlyFailed.filter((pod) => judgeFailure(spec, pod).isCounted);
  const active = pods.filter(isPodActive);
  return {
    job,
    pods,
    active,
    ready: active.filter(isPodReady).length,
    terminating: pods.filter(isPodTerminating).length,
    succeeded: indexes
      ? countIndexes(indexes.succeeded)
      : (status.succeeded ?? 0) + uncountedSucceeded.length + newlySucceeded.length,
    failed: (status.failed ?? 0) + uncountedFailed.length + counted.length,
    indexes,
    backoff: before
      ? nextBackoff(before, newlySucceeded, newlyFailed)
      : nextBackoff(
          NO_FAILURES,
          valid.filter(hasSucceeded),
          valid.filter((pod) => hasPodFailed(pod, spec)),
        ),
    startedAtMs:
      status.startTime === undefined ? (isSuspended(spec) ? undefined : nowMs) : Date.parse(status.startTime),
    nowMs,
  };
}
