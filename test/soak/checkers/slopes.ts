/** Whether memory or handles of a process grow without end: the slope of what was sampled while it ran. */
import type { Finding } from "../finding.ts";

export interface ProcessSample {
  readonly machine: string;
  /** `apiserver`, `etcd`, … */
  readonly process: string;
  /** Another one after each restart. */
  readonly pid: number;
  readonly atMs: number;
  readonly rssBytes: number;
  readonly handles: number;
}

export interface Slope {
  readonly machine: string;
  readonly process: string;
  readonly pid: number;
  readonly hours: number;
  readonly rssBytes: number;
  /** Of the median, an hour. */
  readonly rssPercentPerHour: number;
  readonly handles: number;
  readonly handlesPerHour: number;
}

/** What a process needs to get warm is no leak. */
export const WARM_UP_MS = 300_000;
/** Below it noise would be taken for a slope: figures are told, and nothing is judged. */
export const LEAST_JUDGED_HOURS = 1;
const MOST_RSS_PERCENT_PER_HOUR = 1;
const MOST_HANDLES_PER_HOUR = 2;
const LEAST_SAMPLES = 6;
const SLICES = 16;

/** Of each process that ran long enough after its warm-up. */
export function slopesOf(samples: readonly ProcessSample[]): Slope[] {
  const processes = Map.groupBy(samples, ({ machine, process, pid }) => `${machine} ${process} ${pid}`);
  return [...processes.values()].flatMap((group) => {
    const first = group[0] as ProcessSample;
    const warm = group.filter(({ atMs }) => atMs >= first.atMs + WARM_UP_MS);
    if (warm.length < LEAST_SAMPLES) return [];
    const times = warm.map(({ atMs }) => atMs / 3_600_000);
    const rss = warm.map(({ rssBytes }) => rssBytes);
    const handles = warm.map(({ handles }) => handles);
    const { machine, process, pid } = first;
    return [
      {
        machine,
        process,
        pid,
        hours: (times.at(-1) as number) - (times[0] as number),
        rssBytes: median(rss),
        rssPercentPerHour: (slope(times, rss) / median(rss)) * 100,
        handles: median(handles),
        handlesPerHour: slope(times, handles),
      },
    ];
  });
}

export function judgeSlopes(slopes: readonly Slope[]): Finding[] {
  return slopes
    .filter(({ hours }) => hours >= LEAST_JUDGED_HOURS)
    .flatMap(({ machine, process, hours, rssPercentPerHour, handlesPerHour }) => {
      const over = `over ${hours.toFixed(1)} h`;
      const found: string[] = [];
      if (rssPercentPerHour > MOST_RSS_PERCENT_PER_HOUR)
        found.push(`its memory grows by ${rssPercentPerHour.toFixed(2)} % an hour ${over}`);
      if (handlesPerHour > MOST_HANDLES_PER_HOUR)
        found.push(`its handles grow by ${handlesPerHour.toFixed(1)} an hour ${over}`);
      return found.map((what) => ({ checker: "slopes", message: `${process} on ${machine}: ${what}` }));
    });
}

/**
 * Of the floor: what stays after a heap was collected is the least of each slice. Then Theil and Sen: the median of the slopes
 * between all pairs, which no single burst moves.
 */
function slope(x: readonly number[], y: readonly number[]): number {
  const width = Math.max(1, Math.ceil(x.length / SLICES));
  const floors: { readonly x: number; readonly y: number }[] = [];
  for (let from = 0; from < x.length; from += width) {
    const slice = y.slice(from, from + width);
    const least = Math.min(...slice);
    floors.push({ x: x[from + slice.indexOf(least)] as number, y: least });
  }
  const slopes = floors.flatMap((one, i) => floors.slice(i + 1).map((other) => (other.y - one.y) / (other.x - one.x)));
  return slopes.length === 0 ? 0 : median(slopes);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
