/** The structures of the API as OpenAPI schemas, in the dialects of v2 and v3. */
import { structureDocs } from "@pilothouse/api/docs";
import {
  allKinds,
  specialName,
  structureOf,
  type FieldSchema,
  type FieldType,
  type Scalar,
  type StructureSchema,
} from "@pilothouse/api/schema";

export type Dialect = "v2" | "v3";
export type JsonObject = Record<string, unknown>;

export const PATCH_NAME = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

/** The schemas of these structures and of all that they refer to, by full name, sorted. */
export function schemasOf(roots: Iterable<string>, dialect: Dialect): Record<string, JsonObject> {
  const found = new Map<string, JsonObject>();
  const waiting = [...roots];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (found.has(name)) continue;
    found.set(name, schemaOfName(name, dialect, waiting));
  }
  return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** `#/definitions/…` or `#/components/schemas/…` */
export function reference(name: string, dialect: Dialect): JsonObject {
  return { $ref: dialect === "v2" ? `#/definitions/${name}` : `#/components/schemas/${name}` };
}

/** Adds the names that the schema refers to, to `uses`. */
function schemaOfName(name: string, dialect: Dialect, uses: string[]): JsonObject {
  const special = SPECIAL_SCHEMAS[name];
  if (special) return special[dialect];
  const structure = structureOf(name);
  if (!structure) throw new Error(`no structure is called ${name}`);
  return structureSchema(structure, dialect, uses);
}

function structureSchema(structure: StructureSchema, dialect: Dialect, uses: string[]): JsonObject {
  const docs = structureDocs(structure.name);
  const properties: JsonObject = {};
  for (const field of [...structure.fields.values()].sort((a, b) => (a.json < b.json ? -1 : 1))) {
    properties[field.json] = propertySchema(field, docs?.fields[field.json], dialect, uses);
  }
  const required = docs?.required ?? [];
  const kinds = kindsOf(structure);
  return {
    ...(docs?.about ? { description: docs.about } : {}),
    ...(structure.fields.size > 0 ? { properties } : {}),
    ...(required.length > 0 ? { required } : {}),
    type: "object",
    ...(kinds.length > 0 ? { "x-kubernetes-group-version-kind": kinds } : {}),
    ...(structure.atomic ? { "x-kubernetes-map-type": "atomic" } : {}),
  };
}

function propertySchema(field: FieldSchema, about: string | undefined, dialect: Dialect, uses: string[]): JsonObject {
  const description = about ? { description: about } : {};
  const one = typeSchema(field.type, dialect, uses);
  if (field.mapKey) {
    const map = field.map ? { "x-kubernetes-map-type": field.map } : {};
    return { ...description, type: "object", additionalProperties: wrapped(one, dialect), ...map };
  }
  if (field.repeated) return { ...description, type: "array", items: wrapped(one, dialect), ...listExtensions(field) };
  const strategy = strategyExtensions(field);
  // in OpenAPI v3 nothing may stand beside a reference
  const isBareReference = "$ref" in one && dialect === "v3";
  return { ...description, ...(isBareReference ? { allOf: [one] } : one), ...strategy };
}

function wrapped(one: JsonObject, dialect: Dialect): JsonObject {
  return "$ref" in one && dialect === "v3" ? { allOf: [one] } : one;
}

function typeSchema(type: FieldType, dialect: Dialect, uses: string[]): JsonObject {
  switch (type.kind) {
    case "scalar":
      return SCALAR_SCHEMAS[type.scalar];
    case "structure":
      uses.push(type.structure.name);
      return reference(type.structure.name, dialect);
    case "list":
      return { type: "array", items: { type: "string" } };
    case "special": {
      if (type.special === "Any") return {};
      const name = specialName(type.special);
      uses.push(name);
      return reference(name, dialect);
    }
  }
}

function listExtensions(field: FieldSchema): JsonObject {
  const { list } = field;
  return {
    ...(list && list.keys.length > 0 ? { "x-kubernetes-list-map-keys": list.keys } : {}),
    ...(list ? { "x-kubernetes-list-type": list.type } : {}),
    ...strategyExtensions(field),
  };
}

function strategyExtensions(field: FieldSchema): JsonObject {
  return {
    ...(field.patchMergeKey ? { "x-kubernetes-patch-merge-key": field.patchMergeKey } : {}),
    ...(field.patchStrategy.length > 0 ? { "x-kubernetes-patch-strategy": field.patchStrategy.join(",") } : {}),
  };
}

const SCALAR_SCHEMAS: Readonly<Record<Scalar, JsonObject>> = {
  string: { type: "string" },
  bool: { type: "boolean" },
  int32: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  float64: { type: "number", format: "double" },
  bytes: { type: "string", format: "byte" },
};

/** An array on schemas (wire trap 2); operations have one object. */
function kindsOf(structure: StructureSchema): JsonObject[] {
  const kinds: JsonObject[] = [];
  for (const [key, candidate] of allKinds()) {
    if (candidate !== structure) continue;
    const [kind = "", version = "", group = ""] = key.split("/").reverse();
    kinds.push({ group, kind, version });
  }
  return kinds;
}

const text = (description: string, format?: string): JsonObject => ({
  description,
  ...(format ? { format } : {}),
  type: "string",
});
const inBoth = (schema: JsonObject): Record<Dialect, JsonObject> => ({ v2: schema, v3: schema });
const APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

const QUANTITY =
  "Quantity is a fixed-point representation of a number, e.g. 100m, 1.5 or 2Gi. It is read as a string or a number and " +
  "written as a string in canonical form.";
const INT_OR_STRING = "IntOrString is a type that can hold an int32 or a string.";

/** Types whose JSON is not an object of their fields. */
const SPECIAL_SCHEMAS: Readonly<Record<string, Record<Dialect, JsonObject>>> = {
  [PATCH_NAME]: inBoth({
    description: "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
    type: "object",
  }),
  [specialName("Quantity")]: {
    v2: text(QUANTITY),
    v3: { description: QUANTITY, oneOf: [{ type: "string" }, { type: "number" }] },
  },
  [specialName("IntOrString")]: {
    v2: text(INT_OR_STRING, "int-or-string"),
    v3: { description: INT_OR_STRING, format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] },
  },
  [specialName("Time")]: inBoth(text("Time is a point in time: RFC 3339, in whole seconds.", "date-time")),
  [specialName("MicroTime")]: inBoth(
    text("MicroTime is version of Time with microsecond level precision.", "date-time"),
  ),
  [specialName("FieldsV1")]: inBoth({
    description: "FieldsV1 stores a set of fields in a data structure like a Trie, in JSON format.",
    type: "object",
  }),
  [specialName("RawExtension")]: inBoth({ description: "RawExtension is used to hold any object.", type: "object" }),
  [specialName("JSON")]: inBoth({ description: "JSON represents any valid JSON value." }),
  [`${APIEXTENSIONS}.JSONSchemaPropsOrArray`]: inBoth({ description: "A schema, or an array of schemas." }),
  [`${APIEXTENSIONS}.JSONSchemaPropsOrBool`]: inBoth({ description: "A schema, or a boolean." }),
  [`${APIEXTENSIONS}.JSONSchemaPropsOrStringArray`]: inBoth({ description: "A schema, or an array of strings." }),
};
