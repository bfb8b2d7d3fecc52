/** Any life of a Job's pods, with a controller that may die after each of its steps. */
import type { Job, JobSpec } from "@pilothouse/api/types/batch-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { isJobFinished } from "@pilothouse/kinds/batch/job-status";
import { job as jobKind } from "@pilothouse/kinds/batch/job";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { isPodActive } from "../../core/pods.ts";
import { jobOf } from "./job.fixture.ts";
import { planPods } from "./plan.ts";
import { observe } from "./plan-observe.ts";
import { planStatus } from "./plan-status.ts";
import { nextBackoff, NO_FAILURES, remainingMs } from "./rules-backoff.ts";
import { isTracked } from "./rules-tracking.ts";
import { verdictOf } from "./rules.ts";

/** What a step does to the world; `dies` says after how many writes the controller is no more. */
type Step =
  | { readonly do: "reconcile"; readonly dies: number }
  | { readonly do: "succeed" | "fail" | "delete"; readonly which: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant("reconcile" as const), dies: fc.nat(6) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("succeed", "fail", "delete"), which: fc.nat(5) }) },
  ),
  { maxLength: 40 },
);

const specs: fc.Arbitrary<Partial<JobSpec>> = fc.record(
  {
    completionMode: fc.constantFrom("Indexed", "NonIndexed"),
    completions: fc.integer({ min: 1, max: 4 }),
    parallelism: fc.integer({ min: 1, max: 3 }),
    backoffLimit: fc.integer({ min: 0, max: 4 }),
    podReplacementPolicy: fc.constantFrom("Failed", "TerminatingOrFailed"),
  },
  { requiredKeys: ["completions", "parallelism"] },
);

class Model {
  job: Job;
  pods: Pod[] = [];
  nowMs = Date.parse("2026-01-01T00:00:00Z");
  /** Pods that said how they ended before they were let go. */
  succeeded = 0;
  #made = 0;

  constructor(spec: Partial<JobSpec>) {
    this.job = jobOf(spec, "work");
    this.job.metadata.uid = "job";
    jobKind.defaults?.(this.job);
    jobKind.prepareForCreate?.(this.job);
  }

  take(step: Step): void {
    this.nowMs += 700_000;
    if (step.do === "reconcile") return this.reconcile(step.dies);
    const active = this.pods.filter(isPodActive);
    const pod = active[step.which % Math.max(1, active.length)];
    if (!pod) return;
    if (step.do === "delete") pod.metadata.deletionTimestamp = new Date(this.nowMs).toISOString();
    else pod.status = { phase: step.do === "succeed" ? "Succeeded" : "Failed" };
    if (step.do === "succeed") this.succeeded++;
  }

  /** What the kubelet does about pods that were asked to go. */
  endTheLeaving(): void {
    for (const pod of this.pods)
      if (pod.metadata.deletionTimestamp !== undefined && pod.status?.phase === undefined)
        pod.status = { phase: "Failed" };
    this.pods = this.pods.filter((pod) => pod.metadata.deletionTimestamp === undefined || isTracked(pod));
  }

  reconcile(writes: number): void {
    if (isJobFinished(this.job)) return;
    let left = writes;
    const isAlive = (): boolean => left-- > 0;
    const observed = observe(this.job, this.pods, undefined, this.nowMs);
    const verdict = verdictOf(observed);
    const planned = planPods(observed, verdict);
    const deleted: Pod[] = [];
    for (const pod of [...planned.end, ...planned.discard]) {
      if (!isAlive()) return;
      if (planned.discard.includes(pod)) pod.metadata.finalizers = [];
      pod.metadata.deletionTimestamp = new Date(this.nowMs).toISOString();
      deleted.push(pod);
    }
    let created = 0;
    for (const pod of planned.create) {
      if (!isAlive()) return;
      const uid = `pod-${this.#made++}`;
      this.pods.push({ ...structuredClone(pod), metadata: { ...structuredClone(pod.metadata), name: uid, uid } });
      created++;
    }
    const { status, untrack } = planStatus(observed, verdict, { created, deleted });
    if (!isAlive()) return;
    const next = { ...this.job, status };
    expect(jobKind.validateStatusUpdate?.(next, this.job)).toEqual([]);
    this.job = next;
    for (const pod of untrack) {
      if (!isAlive()) return;
      pod.metadata.finalizers = [];
    }
  }
}

test("every pod is counted once, none is made too many, and the Job comes to an end", () => {
  fc.assert(
    fc.property(specs, steps, (spec, steps) => {
      const model = new Model(spec);
      const look = (): void => {
        const active = model.pods.filter(isPodActive);
        expect(active.length).toBeLessThanOrEqual(spec.parallelism ?? 0);
        const indexes = active.flatMap(({ spec }) => spec.hostname ?? []);
        expect(new Set(indexes).size).toBe(indexes.length);
        const { succeeded = 0 } = model.job.status ?? {};
        expect(succeeded).toBeLessThanOrEqual(model.succeeded);
      };
      for (const step of steps) {
        model.take(step);
        look();
      }
      for (let rounds = 0; rounds < 60 && !isJobFinished(model.job); rounds++) {
        model.endTheLeaving();
        model.take({ do: "reconcile", dies: Infinity });
        look();
        model.take({ do: "succeed", which: 0 });
      }
      const { status = {} } = model.job;
      expect(isJobFinished(model.job)).toBe(true);
      expect(model.pods.filter(isTracked)).toEqual([]);
      const isComplete = status.conditions?.some(({ type }) => type === "Complete");
      if (isComplete) expect(status.succeeded).toBe(spec.completions);
      else expect(status.failed ?? 0).toBeGreaterThan(spec.backoffLimit ?? 6);
    }),
    { numRuns: 150 },
  );
});

test("back-off begins with 10 s, doubles, ends at 10 min, and a success ends it", () => {
  const at = (seconds: number): Pod => {
    const finishedAt = new Date(seconds * 1_000).toISOString();
    const state = { terminated: { exitCode: 1, finishedAt } };
    const containerStatuses = [{ name: "work", ready: false, restartCount: 0, image: "", imageID: "", state }];
    return { metadata: {}, spec: { containers: [] }, status: { containerStatuses } };
  };
  const waits = [1, 2, 3, 7, 20].map((count) => {
    const record = nextBackoff(
      NO_FAILURES,
      [],
      Array.from({ length: count }, () => at(100)),
    );
    return remainingMs(record, 100_000) / 1_000;
  });
  expect(waits).toEqual([10, 20, 40, 600, 600]);
  const two = nextBackoff(NO_FAILURES, [], [at(100), at(110)]);
  expect(remainingMs(two, 115_000)).toBe(15_000);
  expect(nextBackoff(two, [at(120)], [at(115), at(130)])).toEqual({
    failuresAfterLastSuccess: 1,
    lastFailureMs: 130_000,
  });
  expect(remainingMs(nextBackoff(two, [at(120)], []), 120_000)).toBe(0);
});
