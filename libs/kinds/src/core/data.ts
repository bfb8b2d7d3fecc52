/** What ConfigMaps and Secrets share: keys, total size, and never changing again once `immutable`. */
import { checkConfigMapKey } from "@pilothouse/selectors/names";
import { forbidden, invalidEach, sameValue, tooLong } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";

/** Of all values together, decoded. */
export const MAX_DATA_BYTES = 1024 * 1024;

export function* keyRules(data: Readonly<Record<string, string>> | undefined, path: string): FieldErrors {
  for (const key of Object.keys(data ?? {})) {
    const texts = checkConfigMapKey(key);
    // There may be a hundred thousand keys: a path and a generator for each would be half of the cost.
    if (texts.length > 0) yield* invalidEach(`${path}[${key}]`, key, texts);
  }
}

export function* sizeRules(path: string, sizeBytes: number): FieldErrors {
  if (sizeBytes > MAX_DATA_BYTES) yield tooLong(path, MAX_DATA_BYTES);
}

export function textBytes(data: Readonly<Record<string, string>> | undefined): number {
  return Object.values(data ?? {}).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

/** Of base64 values. */
export function base64Bytes(data: Readonly<Record<string, string>> | undefined): number {
  return Object.values(data ?? {}).reduce((sum, text) => sum + Buffer.byteLength(text, "base64"), 0);
}

interface MaybeImmutable {
  immutable?: boolean;
  data?: Record<string, string>;
  binaryData?: Record<string, string>;
}

export function* immutableRules(object: MaybeImmutable, old: MaybeImmutable): FieldErrors {
  if (old.immutable !== true) return;
  if (object.immutable !== true) yield forbidden("immutable", "field is immutable when `immutable` is set");
  for (const field of ["data", "binaryData"] as const) {
    if (!sameValue(object[field] ?? {}, old[field] ?? {})) {
      yield forbidden(field, "field is immutable when `immutable` is set");
    }
  }
}
