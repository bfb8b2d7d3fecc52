/**
 * What Go cannot tell apart: a field that is given with its zero value, and one that is left out. Upstream decodes into Go
 * structures before it compares, so `hostNetwork: false` or `nodeSelector: {}` beside nothing is no change.
 */
import type { FieldSchema, StructureSchema } from "../schema.ts";
import { isJsonObject, zeroOf, type JsonObject } from "./fit.ts";

/** Removes what omitempty would leave out of a fitted object, in place; the fields that pointers hold keep their zeros. */
export function dropZeros(object: JsonObject, schema: StructureSchema): void {
  for (const [name, value] of Object.entries(object)) {
    const field = schema.fields.get(name);
    if (!field) continue;
    if (isLeftOut(value, field)) delete object[name];
    else descend(value, field);
  }
}

function isLeftOut(value: unknown, field: FieldSchema): boolean {
  if (!field.omitEmpty) return false;
  if (field.mapKey) return isJsonObject(value) && Object.keys(value).length === 0;
  if (Array.isArray(value)) return value.length === 0;
  return !field.pointer && field.type.kind === "scalar" && value === zeroOf(field.type);
}

function descend(value: unknown, { type, mapKey }: FieldSchema): void {
  if (type.kind !== "structure" || typeof value !== "object" || value === null) return;
  const within = mapKey || Array.isArray(value) ? Object.values(value) : [value];
  for (const one of within) if (isJsonObject(one)) dropZeros(one, type.structure);
}
