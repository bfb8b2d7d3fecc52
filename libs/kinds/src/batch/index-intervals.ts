/** Sets of completion indexes as Job statuses write them, `1,3-5,7`: sorted intervals, so that 100,000 of them stay short. */

export interface Interval {
  readonly first: number;
  readonly last: number;
}

/** In order, none touching the next. */
export type Intervals = readonly Interval[];

/** Reads a status leniently: what makes no sense is left out, what lies beyond `completions` is cut off. */
export function parseIndexes(text: string | undefined, completions: number): Intervals {
  if (!text) return [];
  const intervals: Interval[] = [];
  for (const part of text.split(",")) {
    const [firstText = "", lastText = firstText] = part.split("-");
    const [first, last] = [toInteger(firstText), toInteger(lastText)];
    if (first === undefined || last === undefined) continue;
    if (first >= completions) break;
    intervals.push({ first, last: Math.min(last, completions - 1) });
  }
  return joined(intervals);
}

/** `1,2,4-6`: two neighbours are told as two. */
export function formatIndexes(intervals: Intervals): string {
  return intervals
    .map(({ first, last }) => (last === first ? `${first}` : `${first}${last === first + 1 ? "," : "-"}${last}`))
    .join(",");
}

export function intervalsOf(indexes: Iterable<number>): Intervals {
  const sorted = [...indexes].sort((a, b) => a - b);
  return joined(sorted.map((index) => ({ first: index, last: index })));
}

export function mergeIndexes(a: Intervals, b: Intervals): Intervals {
  return joined([...a, ...b].sort((one, other) => one.first - other.first));
}

export function countIndexes(intervals: Intervals): number {
  return intervals.reduce((sum, { first, last }) => sum + last - first + 1, 0);
}

export function hasIndex(intervals: Intervals, index: number): boolean {
  return intervals.some(({ first, last }) => first <= index && index <= last);
}

/** How many indexes are in both. */
export function countCommonIndexes(a: Intervals, b: Intervals): number {
  let count = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [one, other] = [a[i] as Interval, b[j] as Interval];
    count += Math.max(0, Math.min(one.last, other.last) - Math.max(one.first, other.first) + 1);
    if (one.last <= other.last) i++;
    if (other.last <= one.last) j++;
  }
  return count;
}

export class IndexesSyntaxError extends Error {
  override readonly name = "IndexesSyntaxError";
}

/** Reads what a user wrote; how many indexes it names. Throws an IndexesSyntaxError in upstream's words. */
export function countWrittenIndexes(text: string, completions: number): number {
  let total = 0;
  let previous: number | undefined;
  for (const { first, last } of writtenIntervals(text, completions)) {
    if (previous !== undefined && previous >= first) throw notIncreasing(previous, first);
    total += last - first + 1;
    previous = last;
  }
  return total;
}

/** The first index that both texts name; undefined when there is none. Parts that make no sense are told of elsewhere. */
export function commonWrittenIndex(a: string, b: string, completions: number): number | undefined {
  const ones = readable(a, completions);
  const others = readable(b, completions);
  for (let i = 0, j = 0; i < ones.length && j < others.length;) {
    const [one, other] = [ones[i] as Interval, others[j] as Interval];
    if (one.first <= other.last && other.first <= one.last) return Math.max(one.first, other.first);
    if (one.first <= other.first) i++;
    else j++;
  }
  return undefined;
}

function* writtenIntervals(text: string, completions: number): Generator<Interval> {
  if (text === "") return;
  for (const part of text.split(",")) yield writtenInterval(part, completions);
}

function writtenInterval(part: string, completions: number): Interval {
  const [firstText = "", lastText, ...more] = part.split("-");
  if (more.length > 0)
    throw new IndexesSyntaxError(
      `the fragment ${JSON.stringify(part)} violates the requirement that an index interval can have at most two parts separated by '-'`,
    );
  const first = writtenIndex(firstText, completions);
  if (lastText === undefined) return { first, last: first };
  const last = writtenIndex(lastText, completions);
  if (first >= last) throw notIncreasing(first, last);
  return { first, last };
}

function writtenIndex(text: string, completions: number): number {
  const index = toInteger(text);
  if (index === undefined)
    throw new IndexesSyntaxError(`cannot convert string to integer for index: ${JSON.stringify(text)}`);
  if (index >= completions) throw new IndexesSyntaxError(`too large index: ${JSON.stringify(text)}`);
  return index;
}

function notIncreasing(previous: number, current: number): IndexesSyntaxError {
  return new IndexesSyntaxError(`non-increasing order, previous: ${previous}, current: ${current}`);
}

function readable(text: string, completions: number): Interval[] {
  return text.split(",").flatMap((part) => {
    try {
      return [...writtenIntervals(part, completions)];
    } catch {
      return [];
    }
  });
}

function toInteger(text: string): number | undefined {
  return /^\+?\d+$/.test(text) ? Number(text) : undefined;
}

function joined(sorted: readonly Interval[]): Interval[] {
  const result: Interval[] = [];
  for (const { first, last } of sorted) {
    const before = result.at(-1);
    if (before && first <= before.last + 1)
      result[result.length - 1] = { first: before.first, last: Math.max(before.last, last) };
    else result.push({ first, last });
  }
  return result;
}
