/**
 * Whether some order of concurrent calls explains all their outcomes: the search of Wing and Gong with Lowe's memory of
 * configurations that lead nowhere, as Knossos and porcupine do it.
 *
 * A configuration is the set of calls placed so far and the state after them. A call may be placed next if no call that is not
 * yet placed was answered before it began. Calls that only read are placed as soon as their outcome fits: that never hurts,
 * for the state stays and the others only become freer.
 */

export interface Model<State, Operation> {
  readonly initial: State;
  /** The state after an operation; undefined when its outcome cannot come about in this state. */
  step(state: State, operation: Operation): State | undefined;
  /** Whether the operation can change no state, but at most tell more of it. */
  onlyReads(operation: Operation): boolean;
  /** Equal exactly for equal states. */
  textOf(state: State): string;
}

export interface Interval<Operation> {
  readonly operation: Operation;
  readonly invokedMs: number;
  /** Infinity: the answer never came. */
  readonly answeredMs: number;
  /** May as well never have happened, or happen at any later time whenever it was answered. */
  readonly optional?: boolean;
  /** Among those that may come next, smaller ones are tried first: saves time, decides nothing. */
  readonly hint?: number;
}

export type Verdict<Operation> =
  | { readonly verdict: "linearizable"; readonly order: readonly Interval<Operation>[] }
  | {
      readonly verdict: "not linearizable";
      /** The longest order that was found, and what can come next but fits nowhere. */
      readonly placed: readonly Interval<Operation>[];
      readonly stuck: readonly Interval<Operation>[];
    }
  | { readonly verdict: "undecided" };

const DEFAULT_MAX_STEPS = 1_000_000;

/** Tries at most `maxSteps` placements. */
export function linearize<State, Operation>(
  model: Model<State, Operation>,
  intervals: readonly Interval<Operation>[],
  maxSteps = DEFAULT_MAX_STEPS,
): Verdict<Operation> {
  const search = new Search(model, intervals);
  for (let steps = 0; steps < maxSteps; steps++) {
    if (search.isDone()) return { verdict: "linearizable", order: search.order() };
    if (!search.advance()) return { verdict: "not linearizable", ...search.deepest() };
  }
  return { verdict: "undecided" };
}

/** One placement, and what else could have been placed instead. */
interface Frame<State> {
  readonly placed: number;
  readonly before: State;
  readonly alternatives: number[];
}

class Search<State, Operation> {
  readonly #model: Model<State, Operation>;
  /** By their beginning. */
  readonly #intervals: readonly Interval<Operation>[];
  readonly #isPlaced: Uint8Array;
  readonly #frames: Frame<State>[] = [];
  readonly #deadEnds = new Set<string>();
  /** Calls that began before `#base` and are not placed: those whose answers never came. */
  readonly #pending = new Set<number>();
  /** All calls before this one are placed or pending. */
  #base = 0;
  #state: State;
  #alternatives: number[];
  #left: number;
  #deepest: { readonly placed: readonly number[]; readonly stuck: readonly number[] } = { placed: [], stuck: [] };

  constructor(model: Model<State, Operation>, intervals: readonly Interval<Operation>[]) {
    this.#model = model;
    this.#intervals = intervals.toSorted((one, other) => one.invokedMs - other.invokedMs);
    this.#isPlaced = new Uint8Array(intervals.length);
    this.#state = model.initial;
    this.#left = intervals.filter(({ optional }) => optional !== true).length;
    this.#moveBase();
    this.#alternatives = this.#candidates();
  }

  isDone(): boolean {
    return this.#left === 0;
  }

  order(): Interval<Operation>[] {
    return this.#frames.map(({ placed }) => this.#at(placed));
  }

  deepest() {
    const { placed, stuck } = this.#deepest;
    return { placed: placed.map((i) => this.#at(i)), stuck: stuck.map((i) => this.#at(i)) };
  }

  /** Places one more call, or takes the last one back; false when nothing is left to try. */
  advance(): boolean {
    for (let next = this.#alternatives.pop(); next !== undefined; next = this.#alternatives.pop()) {
      const after = this.#model.step(this.#state, this.#at(next).operation);
      if (after === undefined) continue;
      // An optional call that changes nothing is as well left out.
      if (this.#at(next).optional && this.#isSame(after)) continue;
      const isFree = this.#model.onlyReads(this.#at(next).operation) && this.#isSame(after);
      const before = this.#state;
      this.#place(next);
      this.#state = after;
      const configuration = this.#configuration();
      if (this.#deadEnds.has(configuration)) {
        this.#takeBack(next, before);
        if (isFree) this.#alternatives = [];
        continue;
      }
      this.#deadEnds.add(configuration);
      this.#frames.push({ placed: next, before, alternatives: isFree ? [] : this.#alternatives });
      this.#alternatives = this.#candidates();
      this.#noteDepth();
      return true;
    }
    const last = this.#frames.pop();
    if (!last) return false;
    this.#takeBack(last.placed, last.before);
    this.#alternatives = last.alternatives;
    return true;
  }

  #at(index: number): Interval<Operation> {
    return this.#intervals[index] as Interval<Operation>;
  }

  /** What may come next, the most promising last. */
  #candidates(): number[] {
    const found = [...this.#pending];
    let firstAnswerMs = Number.POSITIVE_INFINITY;
    for (let i = this.#base; i < this.#intervals.length; i++) {
      if (this.#at(i).invokedMs > firstAnswerMs) break;
      if (this.#isPlaced[i]) continue;
      found.push(i);
      firstAnswerMs = Math.min(firstAnswerMs, this.#answerMs(i));
    }
    return this.#ranked(found).reverse();
  }

  /** Those that only read, then those that must happen by their hints, then those that need not happen at all. */
  #ranked(found: readonly number[]): number[] {
    const hintOf = (index: number): number => this.#at(index).hint ?? Number.POSITIVE_INFINITY;
    const inOrder = found.toSorted(
      (one, other) => hintOf(one) - hintOf(other) || this.#answerMs(one) - this.#answerMs(other),
    );
    const {
      reads = [],
      writes = [],
      optional = [],
    } = Object.groupBy(inOrder, (index) => {
      const { operation, optional } = this.#at(index);
      return this.#model.onlyReads(operation) ? "reads" : optional ? "optional" : "writes";
    });
    const [first] = writes;
    const isFirstPossible =
      first !== undefined && this.#model.step(this.#state, this.#at(first).operation) !== undefined;
    // Where the first by its hint cannot come yet, one without a hint has probably come before it.
    const hasHint = (index: number): boolean => this.#at(index).hint !== undefined;
    const ordered = isFirstPossible
      ? writes
      : writes.toSorted((one, other) => Number(hasHint(one)) - Number(hasHint(other)));
    return [...reads, ...ordered, ...optional];
  }

  #isSame(after: State): boolean {
    return this.#model.textOf(after) === this.#model.textOf(this.#state);
  }

  #place(index: number): void {
    this.#isPlaced[index] = 1;
    this.#pending.delete(index);
    if (!this.#at(index).optional) this.#left--;
    this.#moveBase();
  }

  #takeBack(index: number, before: State): void {
    this.#isPlaced[index] = 0;
    if (!this.#at(index).optional) this.#left++;
    this.#state = before;
    if (index < this.#base && this.#isEndless(index)) this.#pending.add(index);
    else if (index < this.#base) {
      this.#base = index;
      for (const pending of this.#pending) if (pending >= index) this.#pending.delete(pending);
    }
  }

  #moveBase(): void {
    for (; this.#base < this.#intervals.length; this.#base++) {
      if (this.#isPlaced[this.#base]) continue;
      if (!this.#isEndless(this.#base)) return;
      this.#pending.add(this.#base);
    }
  }

  #answerMs(index: number): number {
    const { answeredMs, optional } = this.#at(index);
    return optional ? Number.POSITIVE_INFINITY : answeredMs;
  }

  #isEndless(index: number): boolean {
    return this.#answerMs(index) === Number.POSITIVE_INFINITY;
  }

  #configuration(): string {
    const ahead: number[] = [];
    let firstAnswerMs = Number.POSITIVE_INFINITY;
    for (let i = this.#base; i < this.#intervals.length; i++) {
      // What began after an answer that is still to be placed cannot have been placed.
      if (this.#at(i).invokedMs > firstAnswerMs) break;
      if (this.#isPlaced[i]) ahead.push(i);
      else firstAnswerMs = Math.min(firstAnswerMs, this.#answerMs(i));
    }
    const pending = [...this.#pending].sort((one, other) => one - other);
    return `${this.#base}|${ahead.join()}|${pending.join()}|${this.#model.textOf(this.#state)}`;
  }

  #noteDepth(): void {
    if (this.#frames.length <= this.#deepest.placed.length) return;
    this.#deepest = { placed: this.#frames.map(({ placed }) => placed), stuck: [...this.#alternatives].reverse() };
  }
}
