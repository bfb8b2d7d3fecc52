/**
 * When a cron schedule comes next: robfig/cron v3's search, field by field.
 *
 * Where clocks are put forward, times in the hour that is skipped do not come that day. Where they are put back, times in the hour
 * that comes twice come twice.
 */
import type { CronFields, CronSchedule } from "./cron-schedule.ts";
import { epochOf, wallClockAt, type WallClock } from "./time-zone.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** A date that does not come in so many years, like the 31st of February, never comes. */
const YEARS_AHEAD = 5;

interface Step {
  readonly fits: (schedule: CronFields, wall: WallClock) => boolean;
  /** The start of the month, day, … that `atMs` is in, where the clock shows `wall`. */
  readonly start: (schedule: CronFields, wall: WallClock, atMs: number) => number;
  readonly advance: (schedule: CronFields, atMs: number) => number;
  /** The larger fields have to be looked at again. */
  readonly hasWrapped: (wall: WallClock) => boolean;
}

/** From the largest field to the smallest: while one does not fit it is moved on, and the smaller ones start anew. */
const STEPS: readonly Step[] = [
  {
    fits: ({ months }, { month }) => months.has(month),
    start: ({ zone }, wall) => epochOf(zone, { ...wall, day: 1, hour: 0, minute: 0 }),
    advance: ({ zone }, atMs) => {
      const wall = wallClockAt(zone, atMs);
      return epochOf(zone, { ...wall, month: wall.month + 1 });
    },
    hasWrapped: ({ month }) => month === 1,
  },
  {
    fits: dayFits,
    start: ({ zone }, wall) => epochOf(zone, { ...wall, hour: 0, minute: 0 }),
    advance: nextDay,
    hasWrapped: ({ day }) => day === 1,
  },
  {
    fits: ({ hours }, { hour }) => hours.has(hour),
    start: ({ zone }, wall) => epochOf(zone, { ...wall, minute: 0 }),
    advance: (_schedule, atMs) => atMs + HOUR_MS,
    hasWrapped: ({ hour }) => hour === 0,
  },
  {
    fits: ({ minutes }, { minute }) => minutes.has(minute),
    start: (_schedule, _wall, atMs) => atMs,
    advance: (_schedule, atMs) => atMs + MINUTE_MS,
    hasWrapped: ({ minute }) => minute === 0,
  },
];

/** Epoch milliseconds of the first time after `afterMs`; undefined when there is none. */
export function nextCronTime(schedule: CronSchedule, afterMs: number): number | undefined {
  if (schedule.kind === "every") return Math.floor(afterMs / 1_000) * 1_000 + schedule.everyMs;
  const { zone } = schedule;
  let atMs = (Math.floor(afterMs / MINUTE_MS) + 1) * MINUTE_MS;
  const lastYear = wallClockAt(zone, atMs).year + YEARS_AHEAD;
  let hasMoved = false;
  search: while (wallClockAt(zone, atMs).year <= lastYear) {
    for (const { fits, start, advance, hasWrapped } of STEPS) {
      for (let wall = wallClockAt(zone, atMs); !fits(schedule, wall); wall = wallClockAt(zone, atMs)) {
        if (!hasMoved) atMs = start(schedule, wall, atMs);
        hasMoved = true;
        atMs = advance(schedule, atMs);
        if (hasWrapped(wallClockAt(zone, atMs))) continue search;
      }
    }
    return atMs;
  }
  return undefined;
}

function dayFits({ daysOfMonth, daysOfWeek, bothDaysMustFit }: CronFields, { day, weekday }: WallClock): boolean {
  const fitsMonth = daysOfMonth.has(day);
  const fitsWeek = daysOfWeek.has(weekday);
  return bothDaysMustFit ? fitsMonth && fitsWeek : fitsMonth || fitsWeek;
}

/**
 * Midnight of the next day. Where clocks skip midnight it is the day's first hour west of Greenwich; east of it upstream steps back
 * into the day before, and so passes over that one day when it looks for a day.
 */
function nextDay({ zone }: CronFields, atMs: number): number {
  const wall = wallClockAt(zone, atMs);
  const nextMs = epochOf(zone, { ...wall, day: wall.day + 1 });
  const { hour } = wallClockAt(zone, nextMs);
  return nextMs + (hour > 12 ? 24 - hour : -hour) * HOUR_MS;
}
