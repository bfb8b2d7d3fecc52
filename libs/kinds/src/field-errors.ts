/**
 * Upstream's constructors for failed fields. Rules are generators that yield these:
 * `function* rules(path, value): FieldErrors { if (value === "") yield required(`${path}.name`); }`
 */
import { MAX_FIELD_ERRORS, type FieldError } from "@pilothouse/errors";

export type FieldErrors = Generator<FieldError, void, undefined>;

/** What the rules find, each rule asked only while fewer than MAX_FIELD_ERRORS are found. */
export function firstErrors(...rules: readonly FieldErrors[]): readonly FieldError[] {
  const errors: FieldError[] = [];
  for (const rule of rules) {
    for (const error of rule) {
      if (errors.length === MAX_FIELD_ERRORS) return errors;
      errors.push(error);
    }
  }
  return errors;
}

export function required(field: string, detail = ""): FieldError {
  return { type: "FieldValueRequired", field, detail };
}

/** An absent value is shown as `null`, as upstream does. */
export function invalid(field: string, value: unknown, detail: string): FieldError {
  return { type: "FieldValueInvalid", field, value: value ?? null, detail };
}

/** For rules about how fields go together, where no single value is wrong. */
export function invalidTogether(field: string, detail: string): FieldError {
  return { type: "FieldValueInvalid", field, detail };
}

export function forbidden(field: string, detail: string): FieldError {
  return { type: "FieldValueForbidden", field, detail };
}

export function duplicate(field: string, value: unknown): FieldError {
  return { type: "FieldValueDuplicate", field, value, detail: "" };
}

export function notFound(field: string, value: unknown): FieldError {
  return { type: "FieldValueNotFound", field, value, detail: "" };
}

export function notSupported(field: string, value: unknown, supported: readonly string[]): FieldError {
  const list = supported.map((word) => JSON.stringify(word)).join(", ");
  return { type: "FieldValueNotSupported", field, value: value ?? null, detail: `supported values: ${list}` };
}

export function tooLong(field: string, maxBytes: number): FieldError {
  return { type: "FieldValueTooLong", field, detail: `may not be more than ${maxBytes} bytes` };
}

export function tooMany(field: string, actual: number, max: number): FieldError {
  return {
    type: "FieldValueTooMany",
    field,
    value: actual,
    detail: max === 1 ? "must have at most 1 item" : `must have at most ${max} items`,
  };
}

/** One `invalid` per text that a name rule gave. */
export function* invalidEach(field: string, value: unknown, texts: readonly string[]): FieldErrors {
  for (const text of texts) yield invalid(field, value, text);
}

/** The value must be one of `supported`; absent is `required`. */
export function* oneOf(field: string, value: string | undefined, supported: readonly string[]): FieldErrors {
  if (value === undefined || value === "") yield required(field);
  else if (!supported.includes(value)) yield notSupported(field, value, supported);
}

export const FIELD_IMMUTABLE = "field is immutable";
export const NOT_NEGATIVE = "must be greater than or equal to 0";

export function* immutable(field: string, value: unknown, old: unknown): FieldErrors {
  if (!sameValue(value, old)) yield invalid(field, value, FIELD_IMMUTABLE);
}

export function* notNegative(field: string, value: number | undefined): FieldErrors {
  if (value !== undefined && value < 0) yield invalid(field, value, NOT_NEGATIVE);
}

export function* inRange(field: string, value: number | undefined, min: number, max: number): FieldErrors {
  if (value !== undefined && (value < min || value > max)) {
    yield invalid(field, value, `must be between ${min} and ${max}, inclusive`);
  }
}

/** Equal as API values: key order is nothing, and absent, null and [] are the same (upstream's Semantic.DeepEqual). */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b || (isEmpty(a) && isEmpty(b))) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => sameValue(item, b[index]));
  }
  if (!isRecord(a) || !isRecord(b)) return false;
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => sameValue(a[key], b[key]));
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return Array.isArray(value) && value.length === 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
