/**
 * Kubernetes' `resource.Quantity`: exact amounts of CPU, memory and the like, as `500m`, `1Gi`, `12e6`.
 *
 * Promises: exact arithmetic; parses, keeps and prints what upstream does, to the letter: the family of suffixes is kept
 *   (`1024Mi` is `1Gi`, `1000M` is `1G`), finer than nano is rounded away from zero, binary amounts are capped at 2^63-1.
 * Does not promise: int64 overflow as in Go; sums simply grow.
 * Limits: texts of 1,000 characters and decimal exponents of ±1,000, so that no text costs more than a moment.
 */
export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent";

/** Not a quantity; the message is upstream's. */
export class QuantityError extends Error {
  override readonly name = "QuantityError";
}

const MAX_LENGTH = 1_000;
const MAX_EXPONENT = 1_000;

const NANO_EXPONENT = 9;
const NANOS = 10n ** BigInt(NANO_EXPONENT);
const NANOS_PER_MILLI = 10n ** 6n;
const MAX_BINARY_NANOS = (2n ** 63n - 1n) * NANOS;

const DECIMAL_SUFFIXES: ReadonlyMap<string, number> = new Map([
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
]);
const BINARY_SUFFIXES = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] as const;

/** An amount. Immutable. */
export class Quantity {
  static readonly zero = new Quantity(0n, "DecimalSI");

  /** The amount in units of 10^-9, which is as fine as quantities are. */
  readonly nanos: bigint;
  readonly format: QuantityFormat;
  /** What was parsed, where upstream prints that again. */
  readonly #text: string | undefined;

  constructor(nanos: bigint, format: QuantityFormat, text?: string) {
    this.nanos = nanos;
    this.format = format;
    this.#text = text;
  }

  /** Whole units; a fraction is rounded away from zero: 0.5 CPUs are 1, 1.1 bytes are 2. */
  value(): bigint {
    return divideAwayFromZero(this.nanos, NANOS);
  }

  /** Thousandths; finer is rounded away from zero. */
  milliValue(): bigint {
    return divideAwayFromZero(this.nanos, NANOS_PER_MILLI);
  }

  /** The nearest floating point number: for scores and metrics, never for accounting. */
  toNumber(): number {
    return Number(this.nanos) / Number(NANOS);
  }

  isZero(): boolean {
    return this.nanos === 0n;
  }

  /** By amount: `1Gi` and `1024Mi` compare as 0. */
  compare(other: Quantity): -1 | 0 | 1 {
    return this.nanos < other.nanos ? -1 : this.nanos > other.nanos ? 1 : 0;
  }

  /** The sum, printed as this quantity is; as the other if this is zero. */
  add(other: Quantity): Quantity {
    return new Quantity(this.nanos + other.nanos, this.isZero() ? other.format : this.format);
  }

  /** The difference, printed as this quantity is; as the other if this is zero. May be negative. */
  sub(other: Quantity): Quantity {
    return new Quantity(this.nanos - other.nanos, this.isZero() ? other.format : this.format);
  }

  toString(): string {
    return this.#text ?? canonical(this.nanos, this.format);
  }

  toJSON(): string {
    return this.toString();
  }
}

/**
 * Parses a quantity as it stands in JSON, where plain numbers are allowed.
 *
 * @throws QuantityError with upstream's text
 */
export function parseQuantity(input: string | number): Quantity {
  const text = String(input);
  // Before the expression sees it: its digits may be shared out in many ways.
  if (text.length > MAX_LENGTH) throw new QuantityError("unable to parse numeric part of quantity");
  const match = /^([+-]?)0*([0-9]*)(?:\.([0-9]*))?((?:[eEinumkKMGTP]+[-+]?[0-9]*|[-+][0-9]*)?)$/.exec(text);
  if (!match || text === "")
    throw new QuantityError(
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
  const [, sign, whole = "", fraction = "", suffix = ""] = match;
  const number: ScannedNumber = { whole: whole === "" ? "0" : whole, fraction };
  const { base, exponent, format } = interpretSuffix(suffix);
  // What is read can be written, and what is written can be read.
  if (whole.length + exponent > MAX_EXPONENT) throw new QuantityError("unable to parse quantity's suffix");
  const size = base === 2 ? binaryNanos(number, exponent) : decimalNanos(number, exponent);
  const nanos = sign === "-" ? -size : size;
  // Only a fraction of a unit can get here in a binary family; it is shown in decimals.
  const isFraction = format === "BinarySI" && fraction !== "" && size > 0n && size < NANOS;
  return new Quantity(
    nanos,
    isFraction ? "DecimalSI" : format,
    keepsText(number, base, exponent, nanos) ? text : undefined,
  );
}

interface ScannedNumber {
  /** Digits before the point, without leading zeros. */
  readonly whole: string;
  readonly fraction: string;
}

interface Suffix {
  readonly base: 2 | 10;
  readonly exponent: number;
  readonly format: QuantityFormat;
}

function interpretSuffix(suffix: string): Suffix {
  const decimal = DECIMAL_SUFFIXES.get(suffix);
  if (decimal !== undefined) return { base: 10, exponent: decimal, format: "DecimalSI" };
  const binary = BINARY_SUFFIXES.findIndex((known) => known === suffix);
  if (binary > 0) return { base: 2, exponent: 10 * binary, format: "BinarySI" };
  const [, exponent] = /^[eE]([-+]?[0-9]+)$/.exec(suffix) ?? [];
  if (exponent === undefined || Math.abs(Number(exponent)) > MAX_EXPONENT)
    throw new QuantityError("unable to parse quantity's suffix");
  return { base: 10, exponent: Number(exponent), format: "DecimalExponent" };
}

function decimalNanos({ whole, fraction }: ScannedNumber, exponent: number): bigint {
  return scaleByTen(BigInt(whole + fraction), exponent - fraction.length + NANO_EXPONENT);
}

function binaryNanos({ whole, fraction }: ScannedNumber, exponent: number): bigint {
  const nanos = scaleByTen(BigInt(whole + fraction) << BigInt(exponent), NANO_EXPONENT - fraction.length);
  return nanos > MAX_BINARY_NANOS ? MAX_BINARY_NANOS : nanos;
}

/** `value` × 10^`exponent`, rounded up: who asks for some gets some. */
function scaleByTen(value: bigint, exponent: number): bigint {
  return exponent >= 0 ? value * 10n ** BigInt(exponent) : divideAwayFromZero(value, 10n ** BigInt(-exponent));
}

/**
 * Upstream's shortcut, which users see: a text that looks canonical is printed again as it was, so that `1.500` stays
 * `1.500` and `+1` stays `+1`, though `1.5` becomes `1500m`.
 */
function keepsText({ whole, fraction }: ScannedNumber, base: 2 | 10, exponent: number, nanos: bigint): boolean {
  if (nanos === 0n && whole + fraction === "0") return false;
  if (base === 2) {
    const precision = 15 - whole.length - Math.trunc((exponent * 3) / 10) - 1;
    return fraction === "" && precision >= 0 && BigInt(whole) % 8n !== 0n;
  }
  const digits = whole + fraction;
  const scale = exponent - fraction.length;
  const isShort = digits.length <= 18 && scale >= -NANO_EXPONENT;
  return isShort && scale % 3 === 0 && !digits.endsWith("000") && !digits.startsWith("0");
}

/** No fraction, the largest suffix of the family that needs none. */
function canonical(nanos: bigint, format: QuantityFormat): string {
  if (nanos === 0n) return "0";
  const isBinary = format === "BinarySI" && nanos % NANOS === 0n && (nanos >= 1024n * NANOS || nanos <= -1024n * NANOS);
  if (isBinary) {
    const [mantissa, power] = extractFactors(nanos / NANOS, 1024n, BINARY_SUFFIXES.length - 1);
    return `${mantissa}${BINARY_SUFFIXES[power] ?? ""}`;
  }
  const [mantissa, power] = extractFactors(nanos, 1000n, Number.POSITIVE_INFINITY);
  return `${mantissa}${decimalSuffix(3 * power - NANO_EXPONENT, format)}`;
}

function decimalSuffix(exponent: number, format: QuantityFormat): string {
  if (format !== "DecimalExponent")
    for (const [suffix, known] of DECIMAL_SUFFIXES) if (known === exponent) return suffix;
  return exponent === 0 ? "" : `e${exponent}`;
}

function extractFactors(value: bigint, factor: bigint, max: number): [rest: bigint, count: number] {
  let rest = value;
  let count = 0;
  for (; count < max && rest % factor === 0n; count++) rest /= factor;
  return [rest, count];
}

function divideAwayFromZero(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  if (quotient * by === value) return quotient;
  return value < 0n ? quotient - 1n : quotient + 1n;
}
