/**
 * The one JSON form of a typed object: fields in Kubernetes' order, map keys sorted, and present or left out exactly as Go
 * would (required scalars present, structures that are no pointers present even when empty, lists without omitempty null).
 */
import type { FieldSchema, FieldType, StructureSchema } from "../schema.ts";
import { isJsonObject, setOwn, zeroOf, type JsonObject } from "./fit.ts";

/** A new tree; free-form values are shared with the old one. */
export function canonicalObject(object: JsonObject, schema: StructureSchema): JsonObject {
  const out: JsonObject = {};
  for (const field of schema.fields.values()) {
    const value = canonicalField(object[field.json], field);
    if (value !== undefined) out[field.json] = value;
  }
  return out;
}

/** Undefined: the field is left out. */
function canonicalField(value: unknown, field: FieldSchema): unknown {
  if (field.mapKey || field.repeated || field.type.kind === "list") return canonicalCollection(value, field);
  if (value === undefined || value === null) {
    if (field.omitEmpty && (field.pointer || leavesOutZero(field))) return undefined;
    return field.pointer ? null : zeroValue(field.type);
  }
  if (field.omitEmpty && !field.pointer && leavesOutZero(field) && value === zeroOf(field.type)) return undefined;
  return canonicalOne(value, field.type);
}

/**
 * Whether Go's omitempty can bite: not for structures and what marshals itself. ObjectMeta's creationTimestamp alone says
 * omitzero, which does.
 */
function leavesOutZero(field: FieldSchema): boolean {
  return field.type.kind === "scalar" || field.json === "creationTimestamp";
}

function zeroValue(type: FieldType): unknown {
  if (type.kind === "structure") return canonicalObject({}, type.structure);
  return type.kind === "scalar" && type.scalar === "bytes" ? null : zeroOf(type);
}

function canonicalCollection(value: unknown, field: FieldSchema): unknown {
  if (value === undefined || value === null) return field.omitEmpty ? undefined : null;
  if (Array.isArray(value)) {
    if (value.length === 0 && field.omitEmpty) return undefined;
    return field.type.kind === "structure" ? value.map((element) => canonicalOne(element, field.type)) : value;
  }
  const map = value as JsonObject;
  const keys = Object.keys(map);
  if (keys.length === 0 && field.omitEmpty) return undefined;
  const out: JsonObject = {};
  for (const key of keys.sort()) setOwn(out, key, canonicalOne(map[key], field.type));
  return out;
}

function canonicalOne(value: unknown, type: FieldType): unknown {
  return type.kind === "structure" && isJsonObject(value) ? canonicalObject(value, type.structure) : value;
}
