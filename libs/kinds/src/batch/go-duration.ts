/** Durations as Go writes them: `1h30m`, `2.5s`, `-300ms`. */

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** Longer ones do not fit into Go's 63 bits of nanoseconds. */
const MAX_MS = 2 ** 63 / 1e6;

/** Milliseconds. Throws a RangeError in the words of Go's time.ParseDuration. */
export function parseGoDuration(text: string): number {
  const sign = text.startsWith("-") ? -1 : 1;
  let rest = text.replace(/^[+-]/, "");
  if (rest === "0") return 0;
  if (rest === "") throw invalidDuration(text);
  let totalMs = 0;
  while (rest !== "") {
    const [number = ""] = /^\d*(\.\d*)?/.exec(rest) ?? [];
    if (!/\d/.test(number)) throw invalidDuration(text);
    const [unit = ""] = /^[^\d.]*/.exec(rest.slice(number.length)) ?? [];
    if (unit === "") throw new RangeError(`time: missing unit in duration ${JSON.stringify(text)}`);
    const perUnit = MS_PER_UNIT[unit];
    if (perUnit === undefined)
      throw new RangeError(`time: unknown unit ${JSON.stringify(unit)} in duration ${JSON.stringify(text)}`);
    totalMs += Number(number) * perUnit;
    if (totalMs >= MAX_MS) throw invalidDuration(text);
    rest = rest.slice(number.length + unit.length);
  }
  return sign * totalMs;
}

function invalidDuration(text: string): RangeError {
  return new RangeError(`time: invalid duration ${JSON.stringify(text)}`);
}
