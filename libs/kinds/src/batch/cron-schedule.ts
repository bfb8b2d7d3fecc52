/**
 * Cron expressions as CronJobs have them: upstream's library is robfig/cron v3, and this reads the same language in the same words.
 *
 * Promises: five fields (minute, hour, day of month, month, day of week) of `*`, `?`, numbers, names, ranges, steps and lists;
 * `@yearly`, `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight`, `@hourly`, `@every 1h30m`; `TZ=` or `CRON_TZ=` in front.
 * Where both days are restricted one of them is enough. Sunday is 0, not 7.
 * Does not promise: seconds, `L`, `W`, `#`. Without a zone it means UTC, where upstream takes the controller's local time.
 */
import { parseGoDuration } from "./go-duration.ts";
import { timeZoneNamed, UTC, type TimeZone } from "./time-zone.ts";

export type CronSchedule = CronFields | CronEvery;

export interface CronFields {
  readonly kind: "fields";
  readonly zone: TimeZone;
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly daysOfMonth: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  readonly daysOfWeek: ReadonlySet<number>;
  /** One of the two days is `*` or `?`: then both must fit, else one is enough. */
  readonly bothDaysMustFit: boolean;
}

/** `@every 90s`: counted from the last time, not aligned to the clock. */
export interface CronEvery {
  readonly kind: "every";
  readonly everyMs: number;
}

export class CronSyntaxError extends Error {
  override readonly name = "CronSyntaxError";
}

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const MINUTES: Bounds = { min: 0, max: 59 };
const HOURS: Bounds = { min: 0, max: 23 };
const DAYS_OF_MONTH: Bounds = { min: 1, max: 31 };
const MONTHS: Bounds = {
  min: 1,
  max: 12,
  names: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const DAYS_OF_WEEK: Bounds = { min: 0, max: 6, names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

const DESCRIPTORS: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};
const EVERY = "@every ";

/** Throws a CronSyntaxError in upstream's words. */
export function parseCron(text: string): CronSchedule {
  if (text === "") throw new CronSyntaxError("empty spec string");
  const { zone, expression } = splitZone(text);
  if (!expression.startsWith("@")) return parseFields(expression, zone);
  if (expression.startsWith(EVERY)) return parseEvery(expression);
  const fields = DESCRIPTORS[expression];
  if (fields === undefined) throw new CronSyntaxError(`unrecognized descriptor: ${expression}`);
  return parseFields(fields, zone);
}

function splitZone(text: string): { readonly zone: TimeZone; readonly expression: string } {
  const [, name, expression] = /^(?:CRON_)?TZ=(\S*)\s*(.*)$/s.exec(text) ?? [];
  if (name === undefined || expression === undefined) return { zone: UTC, expression: text };
  const zone = timeZoneNamed(name);
  if (!zone) throw new CronSyntaxError(`provided bad location ${name}: unknown time zone ${name}`);
  return { zone, expression: expression.trim() };
}

function parseEvery(expression: string): CronEvery {
  try {
    const everyMs = parseGoDuration(expression.slice(EVERY.length));
    return { kind: "every", everyMs: Math.max(1_000, Math.floor(everyMs / 1_000) * 1_000) };
  } catch (error) {
    throw new CronSyntaxError(`failed to parse duration ${expression}: ${(error as Error).message}`, { cause: error });
  }
}

function parseFields(expression: string, zone: TimeZone): CronFields {
  const fields = expression.split(/\s+/).filter((field) => field !== "");
  if (fields.length !== 5)
    throw new CronSyntaxError(`expected exactly 5 fields, found ${fields.length}: [${fields.join(" ")}]`);
  const [minutes, hours, daysOfMonth, months, daysOfWeek] = fields as [string, string, string, string, string];
  const minute = parseField(minutes, MINUTES);
  const hour = parseField(hours, HOURS);
  const dayOfMonth = parseField(daysOfMonth, DAYS_OF_MONTH);
  const month = parseField(months, MONTHS);
  const dayOfWeek = parseField(daysOfWeek, DAYS_OF_WEEK);
  return {
    kind: "fields",
    zone,
    minutes: minute.values,
    hours: hour.values,
    daysOfMonth: dayOfMonth.values,
    months: month.values,
    daysOfWeek: dayOfWeek.values,
    bothDaysMustFit: dayOfMonth.isAny || dayOfWeek.isAny,
  };
}

interface Field {
  readonly values: ReadonlySet<number>;
  /** It holds a `*` or `?` without a step: that restricts nothing. */
  readonly isAny: boolean;
}

function parseField(field: string, bounds: Bounds): Field {
  const ranges = field
    .split(",")
    .filter((range) => range !== "")
    .map((range) => parseRange(range, bounds));
  return { values: new Set(ranges.flatMap(({ values }) => values)), isAny: ranges.some(({ isAny }) => isAny) };
}

/** `*`, `5`, `1-5`, `mon-fri`, each with `/step`; `5/10` is `5-<max>/10`. */
function parseRange(range: string, bounds: Bounds): { readonly values: number[]; readonly isAny: boolean } {
  const [span = "", stepText, ...moreSteps] = range.split("/");
  const [lowText = "", highText, ...moreHyphens] = span.split("-");
  const isStar = lowText === "*" || lowText === "?";
  const low = isStar ? bounds.min : parseNumber(lowText, bounds);
  if (!isStar && moreHyphens.length > 0) throw new CronSyntaxError(`too many hyphens: ${range}`);
  let high = isStar ? bounds.max : highText === undefined ? low : parseNumber(highText, bounds);
  if (moreSteps.length > 0) throw new CronSyntaxError(`too many slashes: ${range}`);
  const step = stepText === undefined ? 1 : parseNumber(stepText, { min: 0, max: Infinity });
  if (stepText !== undefined && highText === undefined) high = bounds.max;
  if (low < bounds.min)
    throw new CronSyntaxError(`beginning of range (${low}) below minimum (${bounds.min}): ${range}`);
  if (high > bounds.max) throw new CronSyntaxError(`end of range (${high}) above maximum (${bounds.max}): ${range}`);
  if (low > high) throw new CronSyntaxError(`beginning of range (${low}) beyond end of range (${high}): ${range}`);
  if (step === 0) throw new CronSyntaxError(`step of range should be a positive number: ${range}`);
  const values: number[] = [];
  for (let value = low; value <= high; value += step) values.push(value);
  return { values, isAny: isStar && step === 1 };
}

function parseNumber(text: string, { min, names = [] }: Bounds): number {
  const named = names.indexOf(text.toLowerCase());
  if (named >= 0) return min + named;
  const parsing = `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}`;
  if (!/^[+-]?\d+$/.test(text)) throw new CronSyntaxError(`${parsing}: invalid syntax`);
  const value = Number(text);
  if (Math.abs(value) >= 2 ** 63) throw new CronSyntaxError(`${parsing}: value out of range`);
  if (value < 0) throw new CronSyntaxError(`negative number (${value}) not allowed: ${text}`);
  return value;
}
