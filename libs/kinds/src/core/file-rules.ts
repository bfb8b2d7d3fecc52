/** Rules for the files that a volume is made of: keys of a ConfigMap or Secret, and what a pod knows of itself. */
import type { DownwardAPIVolumeFile, KeyToPath } from "@pilothouse/api/types/core-v1";
import { invalid, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { localPathRules, modeRules } from "./path-rules.ts";
import { fieldRefRules, resourceFieldRules } from "./reference-rules.ts";

export function* itemsRules(items: readonly KeyToPath[] | undefined, path: string): FieldErrors {
  for (const [index, item] of (items ?? []).entries()) {
    const at = `${path}.items[${index}]`;
    if (!item.key) yield required(`${at}.key`);
    if (!item.path) yield required(`${at}.path`);
    yield* localPathRules(item.path ?? "", `${at}.path`, "nonReserved");
    yield* modeRules(item.mode, `${at}.mode`);
  }
}

/** @param path of the list's owner: upstream names no index */
export function* downwardFileRules(file: DownwardAPIVolumeFile, path: string): FieldErrors {
  if (!file.path) yield required(`${path}.path`);
  yield* localPathRules(file.path ?? "", `${path}.path`, "nonReserved");
  if (file.fieldRef) {
    yield* fieldRefRules(file.fieldRef, `${path}.fieldRef`, "volume");
    if (file.resourceFieldRef)
      yield invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
  } else if (file.resourceFieldRef) {
    yield* resourceFieldRules(file.resourceFieldRef, `${path}.resourceFieldRef`, "volume");
  } else yield required(path, "one of fieldRef and resourceFieldRef is required");
  yield* modeRules(file.mode, `${path}.mode`);
}
