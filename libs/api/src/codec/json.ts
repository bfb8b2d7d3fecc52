/**
 * JSON in and out.
 *
 * Promises: decoding is as strict as upstream's and says so in upstream's words; unknown and duplicate fields are returned, not
 * judged (fieldValidation is the caller's); encoding is canonical, so equal objects have equal bytes.
 * Times and quantities come out in their canonical form. Non-promises: defaults and validation are the kinds'.
 * Limits: nesting up to MAX_DEPTH; integers that a double cannot hold are refused (the largest int64 is exact).
 */
import type { StructureSchema } from "../schema.ts";
import { canonicalObject } from "./canonical.ts";
import { fitToSchema, type JsonObject } from "./fit.ts";
import { duplicateKeys, isTooDeep, syntaxErrorText } from "./json-scan.ts";
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
  const { value, text } = parse(bytes);
  const duplicates = options.findDuplicates ? duplicateKeys(text) : [];
  return fitted(value, schema, duplicates);
}

/** A parsed value (from YAML, a patch, protobuf) as an object of this structure. Changes the value in place. */
export function decodeValue(value: unknown, schema: StructureSchema): Decoded {
  return fitted(value, schema, []);
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
const MANY_DIGITS = /[0-9]{16}/;
const MAX_INT64 = 2n ** 63n - 1n;

function parse(bytes: Uint8Array): { readonly value: unknown; readonly text: string } {
  if (isTooDeep(bytes)) throw new DecodeError("exceeded max depth");
  const text = textDecoder.decode(bytes);
  try {
    return { value: MANY_DIGITS.test(text) ? parseExact(text) : (JSON.parse(text) as unknown), text };
  } catch (error) {
    throw error instanceof DecodeError ? error : new DecodeError(syntaxErrorText(text));
  }
}

/** Nothing is rounded in silence: an integer that a double cannot hold is refused, but for the largest int64. */
function parseExact(text: string): unknown {
  const exactly = (_key: string, value: unknown, { source }: { readonly source?: string }): unknown => {
    if (typeof value !== "number" || Number.isSafeInteger(value) || !/^-?\d+$/.test(source ?? "")) return value;
    const exact = BigInt(source ?? 0);
    // The double next to the largest int64 stands for that one, and for no other.
    const isTaken = value === Number(MAX_INT64) ? exact === MAX_INT64 : BigInt(value) === exact;
    if (!isTaken) throw new DecodeError(`json: cannot unmarshal number ${source} into Go value of type int64`);
    return value;
  };
  // The compiler's library does not know the third parameter yet.
  return (JSON.parse as (text: string, reviver: typeof exactly) => unknown)(text, exactly);
}

function fitted(value: unknown, schema: StructureSchema, duplicates: readonly string[]): Decoded {
  const unknown = new Set(fitToSchema(value, schema));
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
