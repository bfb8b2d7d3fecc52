/** Rules for paths on a node and inside a volume, and for the modes of files there. */
import { invalid } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";

const MAX_FILE_MODE = 0o777;
const BAD_MODE = "must be a number between 0 and 0777 (octal), both inclusive";

/** A path inside a volume; `nonReserved` also keeps clear of names like `..data`, which the kubelet needs itself. */
export function* localPathRules(value: string, path: string, reserved?: "nonReserved"): FieldErrors {
  if (value.startsWith("/")) yield invalid(path, value, "must be a relative path");
  yield* noBackstepRules(value, path);
  if (reserved && value.startsWith("..") && !value.startsWith("../")) {
    yield invalid(path, value, "must not start with '..'");
  }
}

export function* noBackstepRules(value: string, path: string): FieldErrors {
  if (hasBackstep(value)) yield invalid(path, value, "must not contain '..'");
}

export function hasBackstep(value: string): boolean {
  return value.split("/").includes("..");
}

export function* modeRules(mode: number | undefined, path: string): FieldErrors {
  if (mode !== undefined && (mode < 0 || mode > MAX_FILE_MODE)) yield invalid(path, mode, BAD_MODE);
}
