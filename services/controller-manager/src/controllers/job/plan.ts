/**
 * Which pods a Job makes or lets go, now. Pure: `observe` says what is so, `verdictOf` whether it ends; this is what comes of it, and
 * plan-status.ts, what is told.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { deletionRules, inDeletionOrder } from "../replicaset/rules.ts";
import { remainingMs } from "./rules-backoff.ts";
import { failuresOf, pendingIndexes, uselessPods } from "./rules-indexes.ts";
import { podOfIndex, podOfJob } from "./plan-new-pods.ts";
import type { Observed } from "./plan-observe.ts";
import { deadlineMs, type Verdict } from "./rules.ts";
import { finishedAtMs, isSuspended, onlyReplacesEnded } from "./rules-tracking.ts";

export interface PodsPlan {
  /** Without the end of their names. */
  readonly create: readonly Pod[];
  /** They are counted as the Job's end says. */
  readonly end: readonly Pod[];
  /** They go as if they had never been: not counted. */
  readonly discard: readonly Pod[];
  /** When there will be something to decide although nothing happens. */
  readonly wakeAtMs?: number;
}

const NOTHING: PodsPlan = { create: [], end: [], discard: [] };
/** At most this many are made or let go at a time. */
const BURST = 500;

/** Those of a ReplicaSet that are about pods as such, not about a service's. */
const REMOVAL_RULES = deletionRules.filter(({ name }) => !["deletion cost", "crowded node"].includes(name));

export function planPods(observed: Observed, verdict: Verdict | undefined): PodsPlan {
  const { job, active } = observed;
  // First it is told how the Job ends: whoever comes after a crash must not take pods that were ended for pods that failed.
  if (verdict) return verdict.isTold ? { ...NOTHING, end: active } : NOTHING;
  if (job.metadata.deletionTimestamp !== undefined) return NOTHING;
  if (isSuspended(job.spec)) return { ...NOTHING, discard: active };
  const surplus = surplusPods(observed);
  // Either fewer or more: what takes the place of pods that go is decided about when they are seen to go.
  const plan = surplus.length > 0 ? { ...NOTHING, discard: surplus.slice(0, BURST) } : planCreates(observed);
  const atMs = Math.min(plan.wakeAtMs ?? Infinity, deadlineMs(observed) ?? Infinity);
  return atMs === Infinity ? plan : { ...plan, wakeAtMs: atMs };
}

/** How many pods are to run. */
export function wantedActive({ job, active, succeeded }: Observed): number {
  const { completions, parallelism = 1 } = job.spec;
  if (completions !== undefined) return Math.max(0, Math.min(parallelism, completions - succeeded));
  // A pod that succeeds says that the work is done: the others finish what they have begun.
  return succeeded > 0 ? active.length : parallelism;
}

function surplusPods(observed: Observed): Pod[] {
  const { job, active, indexes, nowMs } = observed;
  const ordered = (pods: readonly Pod[]): Pod[] =>
    inDeletionOrder(
      pods.map((pod) => ({ pod, neighbours: 0 })),
      nowMs,
      REMOVAL_RULES,
    );
  const useless = indexes ? uselessPods(active, job.spec, ordered) : [];
  const others = ordered(active.filter((pod) => !useless.includes(pod)));
  return [...useless, ...others.slice(0, Math.max(0, active.length - wantedActive(observed) - useless.length))];
}

function planCreates(observed: Observed): PodsPlan {
  const { job, active, terminating, indexes, backoff, nowMs } = observed;
  const waitedFor = onlyReplacesEnded(job.spec) ? terminating : 0;
  const missing = wantedActive(observed) - active.length - waitedFor;
  if (missing <= 0) return NOTHING;
  const isLimitedPerIndex = job.spec.backoffLimitPerIndex !== undefined;
  const waitMs = isLimitedPerIndex ? 0 : remainingMs(backoff, nowMs);
  if (waitMs > 0) return { ...NOTHING, wakeAtMs: nowMs + waitMs };
  const count = Math.min(missing, BURST);
  if (!indexes) return { ...NOTHING, create: Array.from({ length: count }, () => podOfJob(job)) };
  const waits = pendingIndexes(job, observed.pods, indexes, count).map((index) => {
    const replaced = indexes.awaitingSuccessor.get(index);
    return { index, replaced, waitMs: replaced && isLimitedPerIndex ? waitOfIndex(replaced, nowMs) : 0 };
  });
  const create = waits
    .filter(({ waitMs }) => waitMs === 0)
    .map(({ index, replaced }) => podOfIndex(job, index, replaced));
  const nextMs = Math.min(...waits.filter(({ waitMs }) => waitMs > 0).map(({ waitMs }) => waitMs));
  return nextMs === Infinity ? { ...NOTHING, create } : { ...NOTHING, create, wakeAtMs: nowMs + nextMs };
}

/** Each index waits for itself. */
function waitOfIndex(replaced: Pod, nowMs: number): number {
  const record = { failuresAfterLastSuccess: failuresOf(replaced) + 1, lastFailureMs: finishedAtMs(replaced) };
  return remainingMs(record, nowMs);
}
