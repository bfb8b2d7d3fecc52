/** The smallest part of a history that is still not linearizable: what a person can read. */
import type { Operation } from "./history.ts";
import { linearize, type Interval } from "./linearizability.ts";
import { registerModel, type Register } from "./register.ts";

export interface Counterexample {
  readonly initial: Register;
  readonly intervals: readonly Interval<Operation>[];
}

type Intervals = readonly Interval<Operation>[];

const MAX_STEPS = 100_000;

/**
 * Each step keeps what a linearizable history could not lose by it: any beginning of it is linearizable, any end is from some
 * state, and so is what is left without calls that changed nothing, or with writes that may as well not have happened.
 */
export function counterexample(initial: Register, intervals: Intervals): Counterexample {
  const beginning = shortestBeginning(initial, intervals);
  const end = shortestEnd(initial, beginning);
  return { initial: end.initial, intervals: withoutNeedless(end) };
}

function isCounterexample(initial: Register, intervals: Intervals): boolean {
  return linearize(registerModel(initial), intervals, MAX_STEPS).verdict === "not linearizable";
}

function shortestBeginning(initial: Register, intervals: Intervals): Intervals {
  const answers = intervals.map(({ answeredMs }) => answeredMs).filter((ms) => ms < Number.POSITIVE_INFINITY);
  answers.sort((one, other) => one - other);
  let [low, high] = [0, answers.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isCounterexample(initial, until(answers[middle] as number, intervals))) high = middle;
    else low = middle + 1;
  }
  const beginning = until(answers[high] ?? Number.POSITIVE_INFINITY, intervals);
  return isCounterexample(initial, beginning) ? beginning : intervals;
}

/** As the history was at that instant: what is not answered yet may or may not have happened. */
function until(atMs: number, intervals: Intervals): Interval<Operation>[] {
  return intervals
    .filter(({ invokedMs }) => invokedMs <= atMs)
    .filter(({ operation, answeredMs }) => answeredMs <= atMs || isWrite(operation))
    .map((interval) => (interval.answeredMs <= atMs ? interval : { ...interval, optional: true }));
}

function shortestEnd(initial: Register, intervals: Intervals): Counterexample {
  const starts = intervals.map(({ invokedMs }) => invokedMs).sort((one, other) => one - other);
  for (let kept = 2; kept < starts.length; kept *= 2) {
    const end = since(starts[starts.length - kept] as number, intervals);
    if (isCounterexample("anything", end)) return { initial: "anything", intervals: end };
  }
  return { initial, intervals };
}

/** What was answered before that instant has made the state whatever it was; writes under way may have come before it. */
function since(atMs: number, intervals: Intervals): Interval<Operation>[] {
  return intervals
    .filter(({ invokedMs, answeredMs, operation }) => invokedMs >= atMs || (answeredMs > atMs && isWrite(operation)))
    .map((interval) => (interval.invokedMs >= atMs ? interval : { ...interval, optional: true }));
}

/** Writes stay, also those that need not have happened: without them a reader would see a way out that is none. */
function withoutNeedless({ initial, intervals }: Counterexample): Intervals {
  let left: Intervals = intervals;
  for (const interval of intervals) {
    if (isWrite(interval.operation)) continue;
    const fewer = left.filter((other) => other !== interval);
    if (isCounterexample(initial, fewer)) left = fewer;
  }
  return left;
}

function isWrite({ request, outcome }: Operation): boolean {
  return request.verb !== "get" && outcome.result !== "refused";
}
