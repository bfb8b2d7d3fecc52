/** Fuzzes targets side by side, each for its share of the time, and says what failed. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { systemClock } from "@pilothouse/clock/system";
import { inputOf } from "./judge.ts";
import type { Input, Target } from "./target.ts";
import type { WorkerReport, WorkerTask } from "./worker.ts";

export interface Failure {
  readonly target: string;
  readonly seed: string;
  readonly index: number;
  readonly failure: string;
  readonly input: Input;
}

export interface TargetResult {
  readonly target: string;
  readonly cases: number;
  readonly seconds: number;
  readonly failures: readonly Failure[];
}

export interface RunOptions {
  readonly targets: readonly Target[];
  readonly seed: string;
  readonly from: number;
  /** Of wall time for all targets together; Infinity leaves the end to the number of cases. */
  readonly totalMs: number;
  /** How many cases of a target are tried at most. */
  readonly casesOf: (target: Target) => number;
}

/** A thread's heap. What a request of 3 MiB needs is far below. */
const MAX_HEAP_MB = 512;
/** No case may keep its thread busy for longer than this: in wall time, of which a nice thread may get a fiftieth. */
const HANG_MS = 150_000;
/** Past these the target is left: one fault often shows in many cases. */
const MAX_FAILURES = 5;

export async function run(options: RunOptions, tell: (result: TargetResult) => void): Promise<readonly TargetResult[]> {
  const lanes = Math.min(availableParallelism(), options.targets.length);
  const budgetMs = (options.totalMs * lanes) / options.targets.length;
  const waiting = [...options.targets];
  const results: TargetResult[] = [];
  const lane = async (): Promise<void> => {
    for (let target = waiting.shift(); target; target = waiting.shift()) {
      const result = await runTarget(target, options, budgetMs);
      results.push(result);
      tell(result);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}

/** A thread that ends before its time is followed by another, behind the case that ended it. */
async function runTarget(target: Target, options: RunOptions, budgetMs: number): Promise<TargetResult> {
  const { seed, from } = options;
  const to = from + options.casesOf(target);
  const startMs = systemClock.monotonicMs();
  const failures: Failure[] = [];
  let next = from;
  const leftMs = (): number => budgetMs - (systemClock.monotonicMs() - startMs);
  while (next < to && leftMs() > 0 && failures.length < MAX_FAILURES) {
    const ended = await runThread({ target: target.name, seed, from: next, to, budgetMs: leftMs() });
    for (const { index, failure, input } of ended.failed)
      failures.push({ target: target.name, seed, index, failure, input });
    next = ended.next;
    if (ended.burst === undefined) continue;
    const index = next - 1;
    failures.push({ target: target.name, seed, index, failure: ended.burst, input: inputOf(target, seed, index) });
  }
  return { target: target.name, cases: next - from, seconds: (systemClock.monotonicMs() - startMs) / 1_000, failures };
}

interface ThreadEnd {
  readonly failed: readonly (WorkerReport & { readonly kind: "failed" })[];
  /** The first case that is not done. */
  readonly next: number;
  /** How the thread ended before its time. */
  readonly burst?: string;
}

function runThread(task: Omit<WorkerTask, "current">): Promise<ThreadEnd> {
  const current = new Int32Array(new SharedArrayBuffer(4));
  Atomics.store(current, 0, task.from);
  const worker = new Worker(new URL("worker.ts", import.meta.url), {
    workerData: { ...task, current } satisfies WorkerTask,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
  return new Promise((resolve) => {
    const failed: ThreadEnd["failed"][number][] = [];
    let seen = -1;
    let watchdog = systemClock.setTimer(HANG_MS, watch);
    function watch(): void {
      const index = Atomics.load(current, 0);
      if (index === seen) return end(`hung: no answer within ${HANG_MS} ms`);
      seen = index;
      watchdog = systemClock.setTimer(HANG_MS, watch);
    }
    function end(burst?: string): void {
      watchdog.cancel();
      resolve({ failed, next: Atomics.load(current, 0) + 1, ...(burst === undefined ? {} : { burst }) });
      void worker.terminate();
    }
    worker.on("message", (report: WorkerReport) => {
      if (report.kind === "done") end();
      else if (failed.push(report) >= MAX_FAILURES) end();
    });
    worker.on("error", (error: Error) => end(`the thread died: ${error.stack ?? error.message}`));
  });
}
