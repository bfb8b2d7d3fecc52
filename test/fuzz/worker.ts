/** One target in a thread of its own, with a heap that is bounded: a case that runs wild ends the thread, not the run. */
import { parentPort, workerData } from "node:worker_threads";
import { failureOf, inputOf } from "./judge.ts";
import { shrink } from "./shrink.ts";
import { targetNamed } from "./targets/index.ts";
import type { Input } from "./target.ts";

export interface WorkerTask {
  readonly target: string;
  readonly seed: string;
  readonly from: number;
  /** The case before which it stops, if there is time for so many. */
  readonly to: number;
  readonly budgetMs: number;
  /** Where the number of the case in work is written, so that the one that hangs or bursts is known. */
  readonly current: Int32Array;
}

export type WorkerReport =
  | { readonly kind: "failed"; readonly index: number; readonly failure: string; readonly input: Input }
  | { readonly kind: "done"; readonly cases: number };

const { target: name, seed, from, to, budgetMs, current } = workerData as WorkerTask;
const target = targetNamed(name);
const report = (message: WorkerReport): void => parentPort?.postMessage(message);
const endMs = performance.now() + budgetMs;
let index = from;
for (; index < to && performance.now() < endMs; index++) {
  Atomics.store(current, 0, index);
  const input = inputOf(target, seed, index);
  const failure = await failureOf(target, input);
  if (failure === undefined) continue;
  report({ kind: "failed", index, failure, input: await shrink(target, input, failure) });
}
report({ kind: "done", cases: index - from });
