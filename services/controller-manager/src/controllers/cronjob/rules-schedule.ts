/** When a CronJob is due: upstream's arithmetic of missed times. Pure; times are epoch milliseconds. */
import type { CronJob } from "@pilothouse/api/types/batch-v1";
import { nextCronTime } from "@pilothouse/kinds/batch/cron-next";
import { parseCron, type CronSchedule } from "@pilothouse/kinds/batch/cron-schedule";
import { timeZoneNamed, UTC, type TimeZone } from "@pilothouse/kinds/batch/time-zone";

/** Clocks of machines differ a little: whoever is woken a bit later is not too early. */
const DELAY_MS = 100;
const MANY = 100;

export interface Due {
  /** The last time that has come and was not acted upon; undefined when there is none. */
  readonly atMs: number | undefined;
  /** What is told of missed times: more than 100 of them look like a clock that is wrong. */
  readonly missed: "none" | "few" | "many";
}

/** Without a zone that is known: undefined. */
export function zoneOf({ spec }: CronJob): TimeZone | undefined {
  return spec.timeZone === undefined ? UTC : timeZoneNamed(spec.timeZone);
}

/** Throws a CronSyntaxError. A zone in the schedule itself, as old CronJobs may have it, counts. */
export function scheduleOf({ spec }: CronJob): CronSchedule {
  const { schedule, timeZone } = spec;
  return parseCron(schedule.includes("TZ") || timeZone === undefined ? schedule : `TZ=${timeZone} ${schedule}`);
}

/** Throws a RangeError for dates that never come, like the 31st of February. */
export function dueTime(cronJob: CronJob, schedule: CronSchedule, nowMs: number): Due {
  const { startingDeadlineSeconds } = cronJob.spec;
  const deadlineMs = startingDeadlineSeconds === undefined ? -Infinity : nowMs - startingDeadlineSeconds * 1_000;
  return latestTime(schedule, Math.max(lastTimeMs(cronJob), deadlineMs), nowMs);
}

/** When to look again. */
export function nextLookMs(cronJob: CronJob, schedule: CronSchedule, nowMs: number): number | undefined {
  const fromMs = startOfNext(cronJob, schedule, nowMs);
  const nextMs = nextCronTime(schedule, fromMs);
  return nextMs === undefined ? undefined : nextMs + DELAY_MS;
}

function startOfNext(cronJob: CronJob, schedule: CronSchedule, nowMs: number): number {
  try {
    const earliestMs = lastTimeMs(cronJob);
    const { atMs, missed } = latestTime(schedule, earliestMs, nowMs);
    return atMs ?? (missed === "none" ? earliestMs : nowMs);
  } catch {
    return nowMs;
  }
}

function lastTimeMs({ metadata, status }: CronJob): number {
  return Date.parse(status?.lastScheduleTime ?? metadata.creationTimestamp ?? "");
}

/** The last time after `afterMs` that has come. Regular gaps are skipped in one step: there may be very many. */
function latestTime(schedule: CronSchedule, afterMs: number, nowMs: number): Due {
  const firstMs = nextCronTime(schedule, afterMs);
  if (firstMs !== undefined && nowMs < firstMs) return { atMs: undefined, missed: "none" };
  const secondMs = firstMs === undefined ? undefined : nextCronTime(schedule, firstMs);
  if (firstMs === undefined || secondMs === undefined || secondMs - firstMs < 1_000)
    throw new RangeError("time difference between two schedules is less than 1 second");
  if (nowMs < secondMs) return { atMs: firstMs, missed: "none" };
  const gapMs = secondMs - firstMs;
  const count = Math.floor((nowMs - firstMs) / gapMs) + 1;
  let atMs: number | undefined;
  let nextMs = nextCronTime(schedule, firstMs + (count - 2) * gapMs);
  while (nextMs !== undefined && nextMs <= nowMs) {
    atMs = nextMs;
    nextMs = nextCronTime(schedule, nextMs);
  }
  return { atMs, missed: count > MANY ? "many" : "few" };
}
