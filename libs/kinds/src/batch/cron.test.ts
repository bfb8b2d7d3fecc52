import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nextCronTime } from "./cron-next.ts";
import { parseCron } from "./cron-schedule.ts";
import { timeZoneNamed, UTC, wallClockAt } from "./time-zone.ts";

/** The next few times, in UTC. */
function times(expression: string, after: string, count = 1): string[] {
  const schedule = parseCron(expression);
  const found: string[] = [];
  let atMs: number | undefined = Date.parse(after);
  while (found.length < count) {
    atMs = nextCronTime(schedule, atMs);
    if (atMs === undefined) break;
    found.push(new Date(atMs).toISOString().replace(":00.000Z", "Z"));
  }
  return found;
}

describe("when a schedule comes next", () => {
  test.each<[string, string, string[]]>([
    ["*/15 * * * *", "2026-01-01T14:45:00Z", ["2026-01-01T15:00Z", "2026-01-01T15:15Z"]],
    ["* * * * *", "2026-01-01T00:00:59.999Z", ["2026-01-01T00:01Z"]],
    ["20-35/15 * * * *", "2026-01-01T00:00:00Z", ["2026-01-01T00:20Z", "2026-01-01T00:35Z", "2026-01-01T01:20Z"]],
    ["50/5 23 * * *", "2026-01-01T00:00:00Z", ["2026-01-01T23:50Z", "2026-01-01T23:55Z", "2026-01-02T23:50Z"]],
    ["@hourly", "2026-01-01T00:30:00Z", ["2026-01-01T01:00Z"]],
    ["@weekly", "2026-01-01T00:00:00Z", ["2026-01-04T00:00Z"]],
    ["@monthly", "2026-12-31T23:59:00Z", ["2027-01-01T00:00Z"]],
    ["@yearly", "2026-01-01T00:00:00Z", ["2027-01-01T00:00Z"]],
    ["0 12 * FEB mon-Wed", "2026-01-01T00:00:00Z", ["2026-02-02T12:00Z", "2026-02-03T12:00Z", "2026-02-04T12:00Z"]],
    ["0 0 29 2 ?", "2026-01-01T00:00:00Z", ["2028-02-29T00:00Z"]],
    // Both days restricted: one is enough.
    ["0 0 13 * fri", "2026-03-01T00:00:00Z", ["2026-03-06T00:00Z", "2026-03-13T00:00Z", "2026-03-20T00:00Z"]],
    // A step makes a restriction of a star.
    ["0 0 */10 * sun", "2026-03-01T00:00:00Z", ["2026-03-08T00:00Z", "2026-03-11T00:00Z", "2026-03-15T00:00Z"]],
    ["0 0 * * sun", "2026-03-01T00:00:00Z", ["2026-03-08T00:00Z"]],
    ["0 0 31 2 *", "2026-01-01T00:00:00Z", []],
    ["@every 90s", "2026-01-01T00:00:00.500Z", ["2026-01-01T00:01:30.000Z"]],
    ["@every 1ms", "2026-01-01T00:00:00Z", ["2026-01-01T00:00:01.000Z"]],
    ["TZ=Asia/Tokyo 0 9 * * *", "2026-01-01T00:00:00Z", ["2026-01-02T00:00Z"]],
  ])("%s after %s", (expression, after, expected) => {
    expect(times(expression, after, Math.max(1, expected.length))).toEqual(expected);
  });
});

describe("when clocks are changed", () => {
  test("an hour that is skipped has no jobs", () => {
    expect(times("CRON_TZ=America/New_York 30 2 * * *", "2026-03-07T12:00:00Z", 2)).toEqual([
      "2026-03-09T06:30Z",
      "2026-03-10T06:30Z",
    ]);
  });

  test("an hour that comes twice has its jobs twice", () => {
    expect(times("TZ=America/New_York 30 1 * * *", "2026-10-31T12:00:00Z", 3)).toEqual([
      "2026-11-01T05:30Z",
      "2026-11-01T06:30Z",
      "2026-11-02T06:30Z",
    ]);
    expect(times("TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z", 3)).toEqual([
      "2026-10-25T00:30Z",
      "2026-10-25T01:30Z",
      "2026-10-26T01:30Z",
    ]);
  });

  test("a day without midnight has nothing at midnight, but what comes later", () => {
    // Beirut's clocks go from 24:00 to 1:00.
    expect(times("TZ=Asia/Beirut 0 0 * * *", "2026-03-28T12:00:00Z", 1)).toEqual(["2026-03-29T21:00Z"]);
    expect(times("TZ=Asia/Beirut 0 1 * * *", "2026-03-28T12:00:00Z", 1)).toEqual(["2026-03-28T22:00Z"]);
  });

  test("a search for a day goes past one without midnight as upstream's does", () => {
    expect(times("TZ=America/Sao_Paulo 0 9 10 * *", "2018-10-17T09:00:00Z")).toEqual(["2018-11-10T11:00Z"]);
    expect(times("TZ=America/Sao_Paulo 0 9 4 11 *", "2018-10-17T09:00:00Z")).toEqual(["2018-11-04T11:00Z"]);
    // East of Greenwich it misses that very day.
    expect(times("TZ=Asia/Beirut 0 9 29 3 *", "2026-03-27T12:00:00Z")).toEqual(["2027-03-29T06:00Z"]);
  });
});

describe("what is wrong is said as upstream's library says it", () => {
  test.each([
    ["* * * *", "expected exactly 5 fields, found 4: [* * * *]"],
    ["61 * * * *", "end of range (61) above maximum (59): 61"],
    ["* * 0 * *", "beginning of range (0) below minimum (1): 0"],
    ["5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"],
    ["*/0 * * * *", "step of range should be a positive number: */0"],
    ["1--5 * * * *", "too many hyphens: 1--5"],
    ["*//2 * * * *", "too many slashes: *//2"],
    ["*/-2 * * * *", "negative number (-2) not allowed: -2"],
    ["* j * * *", 'failed to parse int from j: strconv.Atoi: parsing "j": invalid syntax'],
    ["* * * * 7", "end of range (7) above maximum (6): 7"],
    ["@now", "unrecognized descriptor: @now"],
    ["@every Xm", 'failed to parse duration @every Xm: time: invalid duration "Xm"'],
    ["@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'],
    ["@every 5d", 'failed to parse duration @every 5d: time: unknown unit "d" in duration "5d"'],
    ["TZ=Nowhere * * * * *", "provided bad location Nowhere: unknown time zone Nowhere"],
    ["", "empty spec string"],
  ])("%s", (expression, message) => {
    expect(() => parseCron(expression)).toThrow(message);
  });
});

test("zones have the names of their files", () => {
  for (const name of ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "EST5EDT", "Asia/Calcutta"])
    expect(timeZoneNamed(name)?.name, name).toBe(name);
  for (const name of ["europe/berlin", "utc", "+05", "Europe", "Mars/Olympus"])
    expect(timeZoneNamed(name), name).toBeUndefined();
});

describe("for any schedule", () => {
  const field = (min: number, max: number): fc.Arbitrary<string> =>
    fc.oneof(
      fc.constant("*"),
      fc.integer({ min, max }).map(String),
      fc.integer({ min: 2, max }).map((step) => `*/${step}`),
      fc
        .tuple(fc.integer({ min, max }), fc.integer({ min, max }))
        .map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
      fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 4 }).map((values) => values.join()),
    );
  const expression = fc
    .tuple(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6))
    .map((fields) => fields.join(" "));
  const zone = fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu");
  const startMs = fc.integer({ min: Date.UTC(2020, 0), max: Date.UTC(2030, 0) });

  test("the next time lies ahead, fits, and no minute between fits", () => {
    fc.assert(
      fc.property(expression, zone, startMs, (expression, zone, startMs) => {
        const schedule = parseCron(`TZ=${zone} ${expression}`);
        if (schedule.kind !== "fields") throw new Error("a descriptor");
        const fits = (atMs: number): boolean => {
          const { minute, hour, day, month, weekday } = wallClockAt(schedule.zone, atMs);
          const [dayFits, weekdayFits] = [schedule.daysOfMonth.has(day), schedule.daysOfWeek.has(weekday)];
          const isDay = schedule.bothDaysMustFit ? dayFits && weekdayFits : dayFits || weekdayFits;
          return schedule.minutes.has(minute) && schedule.hours.has(hour) && isDay && schedule.months.has(month);
        };
        const nextMs = nextCronTime(schedule, startMs) ?? Infinity;
        expect(nextMs).toBeGreaterThan(startMs);
        expect(nextMs === Infinity || fits(nextMs)).toBe(true);
        const firstMinute = (Math.floor(startMs / 60_000) + 1) * 60_000;
        // All would take long: the first day, minute by minute.
        for (let atMs = firstMinute; atMs < Math.min(nextMs, firstMinute + 86_400_000); atMs += 60_000)
          if (fits(atMs)) expect.fail(`${new Date(atMs).toISOString()} was left out`);
      }),
      { numRuns: 60 },
    );
  });

  test("whatever is written is a schedule or a syntax error", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."0123456789*/-,? @TZ=aeLW#".split("")) }), (text) => {
        try {
          nextCronTime(parseCron(text), 0);
        } catch (error) {
          expect(error).toMatchObject({ name: "CronSyntaxError" });
        }
      }),
    );
  });

  test("a zone is at most a day away, and UTC is nowhere else", () => {
    expect(wallClockAt(UTC, 0)).toEqual({ year: 1970, month: 1, day: 1, weekday: 4, hour: 0, minute: 0 });
    fc.assert(
      fc.property(zone, startMs, (name, atMs) => {
        expect(Math.abs(timeZoneNamed(name)?.offsetMsAt(atMs) ?? Infinity)).toBeLessThan(86_400_000);
      }),
      { numRuns: 30 },
    );
  });
});
