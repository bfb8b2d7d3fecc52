/** What volumes and claims to them have in common: how they may be reached, how large, and in which form. */
import { parseQuantity, Quantity } from "@pilothouse/quantity";
import { forbidden, invalid, notSupported, required, type FieldErrors } from "../field-errors.ts";

export const ACCESS_MODES: readonly string[] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
export const VOLUME_MODES: readonly string[] = ["Block", "Filesystem"];

const SHORT_MODES: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};

export function* accessModeRules(modes: readonly string[] | undefined, path: string): FieldErrors {
  for (const mode of modes ?? []) if (!ACCESS_MODES.includes(mode)) yield notSupported(path, mode, ACCESS_MODES);
  if ((modes ?? []).length > 1 && modes?.includes("ReadWriteOncePod")) {
    yield forbidden(path, "may not use ReadWriteOncePod with other access modes");
  }
}

export function* volumeModeRules(mode: string | undefined, path: string): FieldErrors {
  if (mode !== undefined && !VOLUME_MODES.includes(mode)) yield notSupported(path, mode, VOLUME_MODES);
}

/** An amount of storage must be there, and more than nothing. */
export function* storageRules(text: string | undefined, path: string): FieldErrors {
  if (text === undefined) {
    yield required(path);
    return;
  }
  try {
    if (parseQuantity(text).compare(Quantity.zero) <= 0) yield invalid(path, text, "must be greater than zero");
  } catch (error) {
    yield invalid(path, text, error instanceof Error ? error.message : "");
  }
}

/** `RWO,RWX`, in upstream's order, as tables show them. */
export function accessModesText(modes: readonly string[] | undefined): string {
  return Object.entries(SHORT_MODES)
    .filter(([mode]) => modes?.includes(mode))
    .map(([, short]) => short)
    .join(",");
}
