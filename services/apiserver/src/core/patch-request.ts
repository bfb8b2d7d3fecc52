/** A PATCH: its type, and the object it makes out of the one there is. Pure. */
import { badRequest, unsupportedMediaType } from "@pilothouse/errors";
import type { ApiObject, KindDefinition, ObjectMeta } from "@pilothouse/kinds/kind";
import { applyJsonPatch } from "@pilothouse/patch/json-patch";
import { applyMergePatch } from "@pilothouse/patch/merge-patch";
import { applyStrategicMergePatch } from "@pilothouse/patch/strategic-merge-patch";
import type { WriteOptions } from "./options.ts";
import { fitObject, parseBody, schemaOfKind } from "./wire.ts";

export type PatchType = "json" | "merge" | "strategic" | "apply";

const TYPES: Readonly<Record<string, PatchType>> = {
  "application/json-patch+json": "json",
  "application/merge-patch+json": "merge",
  "application/apply-patch+yaml": "apply",
  "application/strategic-merge-patch+json": "strategic",
};

/** Throws 415 for everything else. */
export function patchTypeOf(contentType: string | undefined): PatchType {
  const type = TYPES[(contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? ""];
  if (!type) throw unsupportedMediaType(Object.keys(TYPES));
  return type;
}

export interface PatchWrite {
  readonly type: PatchType;
  readonly body: Uint8Array;
  readonly kind: KindDefinition;
  readonly options: WriteOptions;
  readonly subresource: string;
}

/**
 * The object that the patch makes of `old` (undefined: server-side apply of something new, called `identity`).
 *
 * @param time RFC 3339 in whole seconds, for field ownership
 * @throws StatusError 400, 409 and 422 with upstream's texts
 */
export function applyPatch(
  write: PatchWrite,
  old: ApiObject | undefined,
  time: string,
  warn: (text: string) => void,
  identity?: ObjectMeta,
): ApiObject {
  const { type, body, kind, options } = write;
  if (type === "apply") return applyConfiguration(write, old, time, warn, identity);
  const patch = parseBody(body, false);
  const patched = patchedValue(type, old ?? { metadata: {} }, patch, kind);
  return fitObject(JSON.parse(JSON.stringify(patched)), kind, options.fieldValidation, warn);
}

function patchedValue(
  type: Exclude<PatchType, "apply">,
  old: ApiObject,
  patch: unknown,
  kind: KindDefinition,
): unknown {
  switch (type) {
    case "json":
      return applyJsonPatch(old, patch);
    case "merge":
      return applyMergePatch(old, patch);
    case "strategic":
      return applyStrategicMergePatch(old, patch, schemaOfKind(kind));
  }
}

function applyConfiguration(
  { body, kind, options }: PatchWrite,
  _old: ApiObject | undefined,
  _time: string,
  warn: (text: string) => void,
  _identity?: ObjectMeta,
): ApiObject {
  fitObject(parseBody(body, true), kind, options.fieldValidation, warn);
  throw badRequest("server-side apply is not served yet");
}
