/**
 * Wall clocks of IANA time zones. Pure, given the time zone data of the runtime.
 *
 * `epochOf` reads a wall clock as Go's time.Date does: an hour that is skipped or comes twice is read by the offset that is in
 * force when it is taken for UTC, or else by the one in force at the result.
 */

/** Fields as a clock on the wall shows them; `month` and `weekday` count as cron does: January is 1, Sunday is 0. */
export interface WallClock {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly weekday: number;
  readonly hour: number;
  readonly minute: number;
}

export interface TimeZone {
  readonly name: string;
  /** What to add to UTC, e.g. 3,600,000 in Berlin's winter. */
  readonly offsetMsAt: (epochMs: number) => number;
}

export const UTC: TimeZone = { name: "UTC", offsetMsAt: () => 0 };

/** `Europe/Berlin`; undefined for what is no zone. Names are case sensitive, as files of time zones are. */
export function timeZoneNamed(name: string): TimeZone | undefined {
  if (name === "" || name === "UTC") return UTC;
  // Offsets like +05 are zones to Intl, but not to IANA.
  if (/^[+-]/.test(name)) return undefined;
  const format = formatOf(name);
  if (!format) return undefined;
  const known = format.resolvedOptions().timeZone;
  if (known !== name && known.toLowerCase() === name.toLowerCase()) return undefined;
  return { name, offsetMsAt: (epochMs) => offsetMs(format, epochMs) };
}

export function wallClockAt(zone: TimeZone, epochMs: number): WallClock {
  const shifted = new Date(epochMs + zone.offsetMsAt(epochMs));
  return {
    year: shifted.getUTCFullYear(),
    month: shifted.getUTCMonth() + 1,
    day: shifted.getUTCDate(),
    weekday: shifted.getUTCDay(),
    hour: shifted.getUTCHours(),
    minute: shifted.getUTCMinutes(),
  };
}

/** Months and days beyond their bounds count on: day 32 of January is the first of February. */
export function epochOf(zone: TimeZone, { year, month, day, hour, minute }: Omit<WallClock, "weekday">): number {
  const asUtc = Date.UTC(year, month - 1, day, hour, minute);
  return asUtc - zone.offsetMsAt(asUtc - zone.offsetMsAt(asUtc));
}

function formatOf(timeZone: string): Intl.DateTimeFormat | undefined {
  try {
    return new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch {
    return undefined;
  }
}

function offsetMs(format: Intl.DateTimeFormat, epochMs: number): number {
  const fields: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {};
  for (const { type, value } of format.formatToParts(epochMs)) fields[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = fields;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(epochMs / 1_000) * 1_000;
}
