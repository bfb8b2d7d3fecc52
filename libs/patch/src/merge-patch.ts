import { isJsonObject, type JsonObject } from "@pilothouse/api";
import { badRequest } from "@pilothouse/errors";
import { own, setOwn } from "./json.ts";

/**
 * JSON Merge Patch (RFC 7396): objects merge, null deletes, all else replaces. The target is not changed; what the patch
 * leaves alone is shared.
 *
 * @throws StatusError 400 if the patch is no object
 */
export function applyMergePatch(target: unknown, patch: unknown): Record<string, unknown> {
  if (!isJsonObject(patch)) throw badRequest("Invalid JSON Patch");
  return merge(target, patch);
}

function merge(target: unknown, patch: JsonObject): Record<string, unknown> {
  const merged: Record<string, unknown> = isJsonObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else setOwn(merged, key, isJsonObject(value) ? merge(own(merged, key), value) : value);
  }
  return merged;
}
