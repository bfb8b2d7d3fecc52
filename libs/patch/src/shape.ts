import { isJsonObject, type FieldSchema, type Scalar, type StructureSchema } from "@pilothouse/api";
import { own } from "./json.ts";
import { keyElement, valueElement } from "./field-set.ts";

/** How server-side apply sees a value: as one leaf, as a map of named children, or as a list of known elements. */
export type Shape = LeafShape | MapShape | ListShape;

interface LeafShape {
  readonly kind: "leaf";
  /** What JSON holds here; undefined where more than one kind of value may stand. */
  readonly expects: "string" | "numeric" | "boolean" | undefined;
}

export interface MapShape {
  readonly kind: "map";
  /** Fields by name; undefined for maps, whose children all look alike. */
  readonly structure: StructureSchema | undefined;
  /** Of a field or of any child; undefined for a name that the structure has not. */
  readonly child: (name: string) => TypeRef | undefined;
}

export interface ListShape {
  readonly kind: "list";
  /** What an element is known by: its keys or, in a set, itself. undefined if it lacks a key. */
  readonly identify: (element: unknown) => string | undefined;
  readonly keys: readonly string[];
  readonly element: TypeRef;
}

/** What the schema says of a value before the value is looked at. */
export type TypeRef =
  | { readonly kind: "structure"; readonly structure: StructureSchema; readonly atomic: boolean }
  | { readonly kind: "field"; readonly field: FieldSchema }
  /** Free JSON: maps merge, all else is a leaf. */
  | { readonly kind: "free" }
  | { readonly kind: "scalar"; readonly expects: LeafShape["expects"] };

const LEAF_SHAPE: LeafShape = { kind: "leaf", expects: undefined };
const FREE: TypeRef = { kind: "free" };

/** The shape of a value of this type; atomic lists and maps are leaves. */
export function shapeOf(type: TypeRef, isMap: boolean): Shape {
  switch (type.kind) {
    case "scalar":
      return { kind: "leaf", expects: type.expects };
    case "free":
      return isMap ? { kind: "map", structure: undefined, child: () => FREE } : LEAF_SHAPE;
    case "structure":
      return type.atomic ? LEAF_SHAPE : structureShape(type.structure);
    case "field":
      return fieldShape(type.field, isMap);
  }
}

export function rootType(structure: StructureSchema): TypeRef {
  return { kind: "structure", structure, atomic: false };
}

/** What Go writes for a field that is always written, where our objects may lack it; undefined if it may be left out. */
export function zeroValue(field: FieldSchema): unknown {
  const isOne = !field.pointer && !field.repeated && !field.mapKey;
  // Go writes a structure that is no pointer even where it is said to be left out when empty.
  if (isOne && field.type.kind === "structure") return {};
  if (field.omitEmpty) return undefined;
  if (!isOne) return null;
  if (field.type.kind !== "scalar") return null;
  switch (field.type.scalar) {
    case "string":
      return "";
    case "bool":
      return false;
    case "int32":
    case "int64":
    case "float64":
      return 0;
    case "bytes":
      return null;
  }
}

function structureShape(structure: StructureSchema): MapShape {
  return {
    kind: "map",
    structure,
    child: (name) => {
      const field = structure.fields.get(name);
      return field && { kind: "field", field };
    },
  };
}

function fieldShape(field: FieldSchema, isMap: boolean): Shape {
  if (field.repeated) return listShape(field);
  if (!field.mapKey) return shapeOf(elementType(field, field.map === "atomic"), isMap);
  if (field.map === "atomic") return LEAF_SHAPE;
  const values = elementType(field, false);
  return { kind: "map", structure: undefined, child: () => values };
}

function listShape(field: FieldSchema): Shape {
  const list = field.list;
  if (!list || list.type === "atomic") return LEAF_SHAPE;
  const identify = list.type === "set" ? valueElement : (element: unknown) => keysOf(element, list.keys);
  return { kind: "list", identify, keys: list.keys, element: elementType(field, false) };
}

function elementType({ type }: FieldSchema, atomic: boolean): TypeRef {
  switch (type.kind) {
    case "scalar":
      return { kind: "scalar", expects: expectation(type.scalar) };
    case "list":
      return { kind: "scalar", expects: undefined };
    case "structure":
      return { kind: "structure", structure: type.structure, atomic: atomic || type.structure.atomic };
    case "special":
      return ["Quantity", "Time", "MicroTime", "IntOrString"].includes(type.special)
        ? { kind: "scalar", expects: undefined }
        : FREE;
  }
}

function expectation(scalar: Scalar): LeafShape["expects"] {
  switch (scalar) {
    case "string":
    case "bytes":
      return "string";
    case "bool":
      return "boolean";
    case "int32":
    case "int64":
    case "float64":
      return "numeric";
  }
}

function keysOf(element: unknown, keys: readonly string[]): string | undefined {
  if (!isJsonObject(element)) return undefined;
  const values: Record<string, unknown> = {};
  for (const key of keys) {
    // The only key that has a default: ports of containers and Services.
    const value = own(element, key) ?? (key === "protocol" ? "TCP" : undefined);
    if (value === undefined) return undefined;
    values[key] = value;
  }
  return keyElement(values);
}
