/** Kubernetes' two time formats: RFC 3339 in UTC, with whole seconds (Time) or exactly six digits (MicroTime). Pure text work. */
import { DecodeError } from "./limits.ts";

const CANONICAL_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const RFC3339 = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;
const ZERO = "0001-01-01T00:00:00Z";

/** Whole seconds, UTC; undefined for Go's zero time, which is null in JSON. Throws a DecodeError with Go's text. */
export function canonicalTime(text: string): string | undefined {
  const instant = parse(text, "2006-01-02T15:04:05Z07:00");
  const canonical = CANONICAL_TIME.test(text) ? text : `${secondsText(instant.epochSeconds)}Z`;
  return canonical === ZERO ? undefined : canonical;
}

/** Six digits of a second, UTC; undefined for the zero time. Fewer digits than six are taken too. */
export function canonicalMicroTime(text: string): string | undefined {
  const { epochSeconds, fraction } = parse(text, "2006-01-02T15:04:05.000000Z07:00");
  return microTimeText(epochSeconds, Number(fraction.padEnd(6, "0").slice(0, 6)));
}

/** What goes on the protobuf wire for either format. */
export function wireTime(text: string): { readonly epochSeconds: number; readonly nanos: number } {
  const { epochSeconds, fraction } = parse(text, "2006-01-02T15:04:05Z07:00");
  return { epochSeconds, nanos: Number(fraction.padEnd(9, "0").slice(0, 9)) };
}

/** Time as text; undefined for the zero time and for what is outside years 1 to 9999. */
export function timeText(epochSeconds: number): string | undefined {
  const text = secondsText(epochSeconds);
  return text === undefined || `${text}Z` === ZERO ? undefined : `${text}Z`;
}

/** MicroTime as text. */
export function microTimeText(epochSeconds: number, micros: number): string | undefined {
  const text = secondsText(epochSeconds);
  if (text === undefined || (`${text}Z` === ZERO && micros === 0)) return undefined;
  return `${text}.${String(micros).padStart(6, "0")}Z`;
}

function secondsText(epochSeconds: number): string | undefined {
  const date = new Date(epochSeconds * 1000);
  const inRange = epochSeconds >= -62_135_596_800 && epochSeconds <= 253_402_300_799;
  return inRange ? date.toISOString().slice(0, 19) : undefined;
}

function parse(text: string, layout: string): { epochSeconds: number; fraction: string } {
  const match = RFC3339.exec(text);
  if (!match) throw new DecodeError(`parsing time ${JSON.stringify(text)} as "${layout}": ${mismatch(text, layout)}`);
  const [, day = "", time = "", fraction = "", sign, offsetHours = "0", offsetMinutes = "0"] = match;
  const outOfRange = rangeProblem(day, time);
  if (outOfRange) throw new DecodeError(`parsing time ${JSON.stringify(text)}: ${outOfRange} out of range`);
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60 * (sign === "-" ? -1 : 1);
  return { epochSeconds: Date.parse(`${day}T${time}Z`) / 1000 - offset, fraction };
}

function rangeProblem(day: string, time: string): string | undefined {
  const [year = 0, month = 0, date = 0] = day.split("-").map(Number);
  const [hour = 0, minute = 0, second = 0] = time.split(":").map(Number);
  if (month < 1 || month > 12) return "month";
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const daysInMonth = month === 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
  if (date < 1 || date > daysInMonth) return "day";
  if (hour > 23) return "hour";
  if (minute > 59) return "minute";
  return second > 59 ? "second" : undefined;
}

/** Go's words for the first element of the layout that the text does not have. */
function mismatch(text: string, layout: string): string {
  let rest = text;
  for (const element of layout.match(/2006|Z07:00|\.000000|\d\d|./g) ?? []) {
    const pattern = ELEMENTS[element] ?? (/\d/.test(element) ? /^\d\d/ : undefined);
    const found = pattern ? pattern.exec(rest)?.[0] : rest.startsWith(element) ? element : undefined;
    if (found === undefined) return `cannot parse ${JSON.stringify(rest)} as "${element}"`;
    rest = rest.slice(found.length);
  }
  return `extra text: ${JSON.stringify(rest)}`;
}

/** Seconds may carry a fraction that the layout does not name, as in Go. */
const ELEMENTS: Readonly<Record<string, RegExp>> = {
  "2006": /^\d{4}/,
  "05": /^\d\d(?:[.,]\d+)?/,
  ".000000": /^/,
  "Z07:00": /^(?:Z|[+-]\d\d:\d\d)/,
};
