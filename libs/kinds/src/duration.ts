/** Ages as kubectl prints them. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

interface Format {
  readonly belowSeconds: number;
  readonly unit: number;
  readonly rest?: number;
}

const WHOLE_YEARS: Format = { belowSeconds: Infinity, unit: YEAR };

/** How much of the duration is shown, by its size: two units while the larger is small, else one. */
const FORMATS: readonly Format[] = [
  { belowSeconds: 2 * MINUTE, unit: 1 },
  { belowSeconds: 10 * MINUTE, unit: MINUTE, rest: 1 },
  { belowSeconds: 3 * HOUR, unit: MINUTE },
  { belowSeconds: 8 * HOUR, unit: HOUR, rest: MINUTE },
  { belowSeconds: 2 * DAY, unit: HOUR },
  { belowSeconds: 8 * DAY, unit: DAY, rest: HOUR },
  { belowSeconds: 2 * YEAR, unit: DAY },
  { belowSeconds: 8 * YEAR, unit: YEAR, rest: DAY },
  WHOLE_YEARS,
];

const LETTERS = new Map([
  [1, "s"],
  [MINUTE, "m"],
  [HOUR, "h"],
  [DAY, "d"],
  [YEAR, "y"],
]);

/** `5m30s`, `3h`, `2y5d`. A little in the future is `0s` (clocks differ), more is `<invalid>`. */
export function humanDuration(durationMs: number): string {
  const seconds = Math.trunc(durationMs / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  const format = FORMATS.find(({ belowSeconds }) => seconds < belowSeconds) ?? WHOLE_YEARS;
  const whole = `${Math.floor(seconds / format.unit)}${LETTERS.get(format.unit)}`;
  if (format.rest === undefined) return whole;
  const rest = Math.floor((seconds % format.unit) / format.rest);
  return rest === 0 ? whole : `${whole}${rest}${LETTERS.get(format.rest)}`;
}

/** Time since a timestamp; `<unknown>` where there is none (stored times that are not optional are null then). */
export function ageOf(timestamp: string | null | undefined, nowMs: number): string {
  return timestamp ? humanDuration(nowMs - Date.parse(timestamp)) : "<unknown>";
}
