/** Which pod works on which index of an indexed Job, and what became of each index. Pure. */
import type { Job, JobSpec } from "@pilothouse/api/types/batch-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import {
  hasIndex,
  intervalsOf,
  mergeIndexes,
  parseIndexes,
  type Intervals,
} from "@pilothouse/kinds/batch/index-intervals";
import { hasJobCondition } from "@pilothouse/kinds/batch/job-status";
import { isPodActive } from "../../core/pods.ts";
import { judgeFailure } from "./rules-policies.ts";
import { finishedAtMs, hasPodFailed, isPodTerminating, isTracked, onlyReplacesEnded } from "./rules-tracking.ts";

export const COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index";
export const FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count";
export const IGNORED_FAILURE_COUNT = "batch.kubernetes.io/job-index-ignored-failure-count";

export interface IndexState {
  /** As the status says. */
  readonly succeededBefore: Intervals;
  readonly succeeded: Intervals;
  /** Only with a limit per index. */
  readonly failed: Intervals | undefined;
  /** By index, failed pods that stay until their successor has taken over their count of failures. */
  readonly awaitingSuccessor: ReadonlyMap<number, Pod>;
}

/** The pod's index, if it is one of the Job's. */
export function indexOf(pod: Pod, { completions = 0 }: JobSpec): number | undefined {
  const index = writtenIndex(pod);
  return index !== undefined && index < completions ? index : undefined;
}

function writtenIndex({ metadata }: Pod): number | undefined {
  const text = metadata.annotations?.[COMPLETION_INDEX];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

export function indexState({ spec, status = {} }: Job, pods: readonly Pod[]): IndexState {
  const { completions = 0, backoffLimitPerIndex } = spec;
  const tracked = pods.filter(isTracked);
  const indexesOf = (isMeant: (pod: Pod) => boolean): Intervals =>
    intervalsOf(new Set(tracked.filter(isMeant).flatMap((pod) => indexOf(pod, spec) ?? [])));
  const succeededBefore = parseIndexes(status.completedIndexes, completions);
  const succeeded = mergeIndexes(
    succeededBefore,
    indexesOf((pod) => pod.status?.phase === "Succeeded"),
  );
  if (backoffLimitPerIndex === undefined)
    return { succeededBefore, succeeded, failed: undefined, awaitingSuccessor: new Map() };
  const failedBefore = parseIndexes(status.failedIndexes, completions);
  // Once it is told how the Job ends, pods are sent away that have not failed their index.
  const isEnding = ["FailureTarget", "SuccessCriteriaMet"].some((type) => hasJobCondition({ status }, type));
  const failed = isEnding
    ? failedBefore
    : mergeIndexes(
        failedBefore,
        indexesOf((pod) => failsItsIndex(pod, spec, backoffLimitPerIndex)),
      );
  const isDecided = (index: number): boolean => hasIndex(succeeded, index) || hasIndex(failed, index);
  return { succeededBefore, succeeded, failed, awaitingSuccessor: awaitingSuccessor(pods, spec, isDecided) };
}

function failsItsIndex(pod: Pod, spec: JobSpec, limit: number): boolean {
  if (!hasPodFailed(pod, spec)) return false;
  const { action, isCounted } = judgeFailure(spec, pod);
  return action === "FailIndex" || (isCounted && countOf(pod, FAILURE_COUNT) >= limit);
}

function awaitingSuccessor(
  pods: readonly Pod[],
  spec: JobSpec,
  isDecided: (index: number) => boolean,
): ReadonlyMap<number, Pod> {
  const active = new Set(pods.filter(isPodActive).map(writtenIndex));
  const latest = new Map<number, Pod>();
  for (const pod of pods) {
    const index = indexOf(pod, spec);
    if (index === undefined || !isTracked(pod) || !hasPodFailed(pod, spec)) continue;
    if (isDecided(index) || active.has(index)) continue;
    const other = latest.get(index);
    const isLater = !other || (failuresOf(other) <= failuresOf(pod) && finishedAtMs(other) <= finishedAtMs(pod));
    if (isLater) latest.set(index, pod);
  }
  return latest;
}

/** All failures of the pod's index before it, also those that do not count. */
export function failuresOf(pod: Pod): number {
  return countOf(pod, FAILURE_COUNT) + countOf(pod, IGNORED_FAILURE_COUNT);
}

/** What the next pod of the index is told of failures before it. */
export function failureCounts(
  spec: JobSpec,
  replaced: Pod | undefined,
): { readonly counted: number; readonly ignored: number } {
  if (!replaced) return { counted: 0, ignored: 0 };
  const { isCounted } = judgeFailure(spec, replaced);
  return {
    counted: countOf(replaced, FAILURE_COUNT) + (isCounted ? 1 : 0),
    ignored: countOf(replaced, IGNORED_FAILURE_COUNT) + (isCounted ? 0 : 1),
  };
}

/** The first indexes that nobody works on and that are not decided. */
export function pendingIndexes(
  { spec }: Job,
  pods: readonly Pod[],
  { succeeded, failed = [] }: IndexState,
  count: number,
): number[] {
  const keeps = (pod: Pod): boolean => isPodActive(pod) || (onlyReplacesEnded(spec) && isPodTerminating(pod));
  const taken = new Set(pods.filter(keeps).flatMap((pod) => writtenIndex(pod) ?? []));
  const decided = mergeIndexes(succeeded, failed);
  const pending: number[] = [];
  let next = 0;
  for (const { first, last } of [...decided, { first: spec.completions ?? 0, last: Infinity }]) {
    for (; next < first && pending.length < count; next++) if (!taken.has(next)) pending.push(next);
    next = Math.max(next, last + 1);
    if (pending.length === count) break;
  }
  return pending;
}

/** Active pods that an indexed Job cannot use: without an index, with one that is none of its own, or with another pod's. */
export function uselessPods(
  active: readonly Pod[],
  spec: JobSpec,
  inDeletionOrder: (pods: readonly Pod[]) => Pod[],
): Pod[] {
  const byIndex = new Map<number | undefined, Pod[]>();
  for (const pod of active) byIndex.set(indexOf(pod, spec), [...(byIndex.get(indexOf(pod, spec)) ?? []), pod]);
  return [...byIndex].flatMap(([index, pods]) => (index === undefined ? pods : inDeletionOrder(pods).slice(0, -1)));
}

function countOf({ metadata }: Pod, annotation: string): number {
  const text = metadata.annotations?.[annotation] ?? "";
  const count = /^\d+$/.test(text) ? Number(text) : 0;
  return count > 2 ** 31 - 1 ? 0 : count;
}
