/**
 * JSON in and out.
 *
 * Promises: decoding is as strict as upstream's and says so in upstream's words; unknown and duplicate fields are returned, not
 * judged (fieldValidation is the caller's); encoding is canonical, so equal objects have equal bytes.
 * Times and quantities come out in their canonical form. Non-promises: defaults and validation are the kinds'.
 * Limits: nesting up to MAX_DEPTH; integers that a double cannot hold are refused (the largest int64 is exact).
 */
import type { StructureSchema } from "../schema.ts";
import { atOnce, type Steps } from "../steps.ts";
import { canonicalObject } from "./canonical.ts";
import { fitToSchema, type Fit, type JsonObject } from "./fit.ts";
import { duplicateKeys, scanJson, syntaxErrorText, type JsonScan } from "./json-scan.ts";
import { DecodeError } from "./limits.ts";

export interface Decoded {
  /** Holds known fields of the right types only; null and absent are the same: absent. */
  readonly object: JsonObject;
  /** `unknown field "spec.zz"` and `duplicate field "spec.x"`: errors for Strict, warnings for Warn. */
  readonly strictProblems: readonly string[];
}

export interface DecodeOptions {
  /** Whether duplicate keys are looked for (a second pass): when fieldValidation is Warn or Strict. */
  readonly findDuplicates?: boolean;
}

/** Throws a DecodeError for what is not JSON or does not fit the kind's structure. */
export function decodeJson(bytes: Uint8Array, schema: StructureSchema, options: DecodeOptions = {}): Decoded {
  return atOnce(decodeJsonInSteps(bytes, schema, options));
}

/** The same, for large objects. */
export function* decodeJsonInSteps(
  bytes: Uint8Array,
  schema: StructureSchema,
  options: DecodeOptions = {},
): Steps<Decoded> {
  const scan = scanJson(bytes);
  yield;
  const { value, text } = parse(bytes, scan);
  yield;
  const fit = fitToSchema(value, schema);
  // To read the text for what is doubled costs more than to parse it: only where the parser has dropped something.
  const hasDoubled = options.findDuplicates === true && fit.members < scan.members;
  if (hasDoubled) yield;
  return decodedOf(value, fit, hasDoubled ? duplicateKeys(text) : []);
}

/** A parsed value (from YAML, a patch, protobuf) as an object of this structure. Changes the value in place. */
export function decodeValue(value: unknown, schema: StructureSchema): Decoded {
  return decodedOf(value, fitToSchema(value, schema), []);
}

/** JSON of any shape, for kinds without a schema, patches and envelopes. Throws a DecodeError in Go's words. */
export function parseJson(bytes: Uint8Array): unknown {
  return parse(bytes).value;
}

/** The canonical bytes of an object. */
export function encodeJson(object: JsonObject, schema: StructureSchema): Uint8Array {
  return textEncoder.encode(stringifyJson(canonicalObject(object, schema)));
}

/** JSON text of any value; integers that a double rounds are written as the integers they stand for. */
export function stringifyJson(value: unknown): string {
  const text = JSON.stringify(value);
  return LARGE_NUMBER.test(text) ? JSON.stringify(value, (_, member: unknown) => exactInteger(member)) : text;
}

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();
/** In JSON without spaces: what follows a colon, a comma or a bracket, so that no string of digits is looked through. */
const LARGE_NUMBER = /(?:^|[:,[])-?[0-9](?:[0-9]{16}|[0-9.]*e\+)/;
const MAX_INT64 = 2n ** 63n - 1n;

interface Parsed {
  readonly value: unknown;
  readonly text: string;
}

function parse(bytes: Uint8Array, { isTooDeep, longNumbers }: JsonScan = scanJson(bytes)): Parsed {
  if (isTooDeep) throw new DecodeError("exceeded max depth");
  const text = textDecoder.decode(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new DecodeError(syntaxErrorText(text));
  }
  for (const [start, end] of longNumbers) refuseRounded(textDecoder.decode(bytes.subarray(start, end)));
  return { value, text };
}

/** Nothing is rounded in silence: an integer that a double cannot hold is refused, but for the largest int64. */
function refuseRounded(source: string): void {
  const value = Number(source);
  if (Number.isSafeInteger(value) || !/^-?\d+$/.test(source)) return;
  if (Number.isFinite(value)) {
    const exact = BigInt(source);
    // The double next to the largest int64 stands for that one, and for no other.
    if (value === Number(MAX_INT64) ? exact === MAX_INT64 : BigInt(value) === exact) return;
  }
  throw new DecodeError(`json: cannot unmarshal number ${shortened(source)} into Go value of type int64`);
}

/** No double is longer; a number may be as long as a body. */
function shortened(number: string): string {
  return number.length > MOST_DIGITS ? `${number.slice(0, MOST_DIGITS)}...` : number;
}

const MOST_DIGITS = 310;

function decodedOf(value: unknown, fit: Fit, duplicates: readonly string[]): Decoded {
  const unknown = new Set(fit.unknown);
  const known = duplicates.filter((path) => !isWithin(unknown, path));
  return {
    object: value as JsonObject,
    strictProblems: [
      ...Array.from(unknown, (path) => `unknown field ${JSON.stringify(path)}`),
      ...known.map((path) => `duplicate field ${JSON.stringify(path)}`),
    ],
  };
}

/** Whether the path, or one that it goes through, is among `fields`; no path of a structure's field is very long. */
function isWithin(fields: ReadonlySet<string>, path: string): boolean {
  if (fields.size === 0 || path.length > 1000) return false;
  for (let end = path.length; end > 0; end = Math.max(path.lastIndexOf(".", end - 1), path.lastIndexOf("[", end - 1))) {
    if (fields.has(path.slice(0, end))) return true;
  }
  return false;
}

function exactInteger(value: unknown): unknown {
  if (typeof value !== "number" || !Number.isInteger(value) || Number.isSafeInteger(value)) return value;
  const exact = BigInt(value);
  return rawJson(String(exact === MAX_INT64 + 1n ? MAX_INT64 : exact));
}

/** `JSON.rawJSON`, which the runtime has and the compiler's library does not know yet. */
function rawJson(text: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text);
}
