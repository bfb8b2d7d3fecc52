/**
 * The structure of every API type, as a typed and linked view of facts.json: what decodes, prunes, encodes, merges and
 * documents. Structures are compiled when first looked at; after that no path looks anything up by string.
 */
import facts from "./facts.json" with { type: "json" };

/** One API structure in its JSON view: embedded (inline) structures are already flattened into `fields`. */
export interface StructureSchema {
  /** `io.k8s.api.core.v1.PodSpec` */
  readonly name: string;
  /** `PodSpec`: what Go and error texts call it. */
  readonly goName: string;
  /** `v1.PodSpec` */
  readonly goType: string;
  /** By JSON name, in the order in which Kubernetes writes them. */
  readonly fields: ReadonlyMap<string, FieldSchema>;
  /** The structure as it is on the protobuf wire, by ascending field number; embedded structures are messages there. */
  readonly wire: readonly WireField[];
  readonly wireByNumber: ReadonlyMap<number, WireField>;
  /** Server-side apply treats the whole structure as one value (`+structType=atomic`). */
  readonly atomic: boolean;
}

export interface FieldSchema {
  /** The JSON name. */
  readonly json: string;
  /** Of one element where `repeated` or `mapKey` is set. */
  readonly type: FieldType;
  readonly repeated: boolean;
  /** Set for maps; keys are always strings. */
  readonly mapKey: "string" | undefined;
  /** Left out of JSON when empty, by Go's rule: never true of a structure that is not a pointer. */
  readonly omitEmpty: boolean;
  readonly pointer: boolean;
  /** How server-side apply merges a list; undefined means atomic. */
  readonly list: { readonly type: "map" | "set" | "atomic"; readonly keys: readonly string[] } | undefined;
  /** How server-side apply merges a map; undefined means granular. */
  readonly map: "granular" | "atomic" | undefined;
  /** For strategic merge patch, e.g. `["merge", "retainKeys"]`. */
  readonly patchStrategy: readonly PatchStrategy[];
  readonly patchMergeKey: string | undefined;
}

/** A field on the protobuf wire: an ordinary one, or an embedded structure that is a message there and flat in JSON. */
export type WireField =
  | { readonly number: number; readonly embedded: StructureSchema; readonly field?: never }
  | { readonly number: number; readonly field: FieldSchema; readonly embedded?: never };

export type FieldType =
  | { readonly kind: "scalar"; readonly scalar: Scalar }
  | { readonly kind: "structure"; readonly structure: StructureSchema }
  /** A list that is a message of its own on the wire (`ExtraValue`, `Verbs`): always of strings. */
  | { readonly kind: "list" }
  | { readonly kind: "special"; readonly special: Special };

export type Scalar = "string" | "bool" | "int32" | "int64" | "float64" | "bytes";
export type PatchStrategy = "merge" | "replace" | "retainKeys";

/** Types whose JSON is not an object of their fields. */
export type Special =
  /** `"100m"` */
  | "Quantity"
  /** RFC 3339 in whole seconds. */
  | "Time"
  /** RFC 3339 with exactly six digits of a second. */
  | "MicroTime"
  /** A number or a string. */
  | "IntOrString"
  /** Any JSON value; on the wire its bytes. */
  | "FieldsV1"
  | "RawExtension"
  | "JSON"
  /** Any JSON value; never on the wire (Table cells). */
  | "Any"
  | "JSONSchemaPropsOrArray"
  | "JSONSchemaPropsOrBool"
  | "JSONSchemaPropsOrStringArray";

const SPECIALS: Readonly<Record<string, Special>> = {
  any: "Any",
  "io.k8s.apimachinery.pkg.api.resource.Quantity": "Quantity",
  "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "Time",
  "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "MicroTime",
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "IntOrString",
  "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "FieldsV1",
  "io.k8s.apimachinery.pkg.runtime.RawExtension": "RawExtension",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "JSON",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "JSONSchemaPropsOrArray",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "JSONSchemaPropsOrBool",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray":
    "JSONSchemaPropsOrStringArray",
};

/** The full name of a special type: what OpenAPI documents call it. */
export function specialName(special: Special): string {
  return SPECIAL_NAMES.get(special) as string;
}

const SPECIAL_NAMES = new Map(Object.entries(SPECIALS).map(([name, special]) => [special, name]));

/** A field as facts.json states it. */
interface FieldFact {
  /** Absent for embedded structures; `*` says that the whole structure is atomic. */
  readonly json?: string;
  /** Absent for what is never on the wire. */
  readonly proto?: number;
  readonly type: string;
  readonly inline?: boolean;
  readonly repeated?: boolean;
  readonly mapKey?: "string";
  readonly omitempty?: boolean;
  readonly pointer?: boolean;
  readonly list?: "map" | "set" | "atomic";
  readonly listKeys?: readonly string[];
  readonly map?: "granular" | "atomic";
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;
}

interface StructureFact {
  readonly wrapper?: boolean;
  readonly as?: string;
  readonly fields: readonly FieldFact[];
}

const structureFacts = facts.types as unknown as Readonly<Record<string, StructureFact>>;
const kindFacts = facts.kinds as Readonly<Record<string, string>>;

class Structure implements StructureSchema {
  readonly name: string;
  readonly #fact: StructureFact;
  #fields: ReadonlyMap<string, FieldSchema> | undefined;
  #wire: readonly WireField[] | undefined;
  #wireByNumber: ReadonlyMap<number, WireField> | undefined;

  constructor(name: string, fact: StructureFact) {
    this.name = name;
    this.#fact = fact;
  }

  get goName(): string {
    return this.name.slice(this.name.lastIndexOf(".") + 1);
  }

  get goType(): string {
    return this.name.split(".").slice(-2).join(".");
  }

  get atomic(): boolean {
    return this.#fact.fields.some((field) => field.json === "*" && field.map === "atomic");
  }

  get fields(): ReadonlyMap<string, FieldSchema> {
    this.#fields ??= new Map(this.#fact.fields.flatMap(jsonFields));
    return this.#fields;
  }

  get wire(): readonly WireField[] {
    this.#wire ??= this.#fact.fields.flatMap((fact) => this.#wireField(fact)).sort((a, b) => a.number - b.number);
    return this.#wire;
  }

  get wireByNumber(): ReadonlyMap<number, WireField> {
    this.#wireByNumber ??= new Map(this.wire.map((field) => [field.number, field]));
    return this.#wireByNumber;
  }

  #wireField(fact: FieldFact): WireField[] {
    if (fact.proto === undefined) return [];
    if (fact.inline) return [{ number: fact.proto, embedded: required(fact.type) }];
    return [{ number: fact.proto, field: this.fields.get(fact.json as string) as FieldSchema }];
  }
}

const structures: ReadonlyMap<string, StructureSchema> = new Map(
  Object.entries(structureFacts).map(([name, fact]) => [name, new Structure(name, fact)]),
);
const byKind: ReadonlyMap<string, StructureSchema> = new Map(
  Object.entries(kindFacts).map(([kind, name]) => [kind, required(name)]),
);

/** The structure of a kind, e.g. ("apps/v1", "Deployment"); undefined for kinds that Kubernetes v1.36 does not have. */
export function schemaOf(apiVersion: string, kind: string): StructureSchema | undefined {
  return byKind.get(`${apiVersion}/${kind}`);
}

/** A structure by its full name, e.g. `io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta`. */
export function structureOf(name: string): StructureSchema | undefined {
  return structures.get(name);
}

/** Every kind as `apiVersion/kind` with its structure. */
export function allKinds(): Iterable<readonly [apiVersionAndKind: string, structure: StructureSchema]> {
  return byKind.entries();
}

function required(name: string): StructureSchema {
  const structure = structures.get(name);
  if (!structure) throw new Error(`facts.json names a structure that it does not hold: ${name}`);
  return structure;
}

function jsonFields(fact: FieldFact): (readonly [string, FieldSchema])[] {
  if (fact.inline) return [...required(fact.type).fields];
  if (fact.json === undefined || fact.json === "*" || fact.json === "-") return [];
  return [[fact.json, fieldSchema(fact, fact.json)]];
}

function fieldSchema(fact: FieldFact, json: string): FieldSchema {
  return {
    json,
    type: fieldType(fact.type),
    repeated: fact.repeated === true,
    mapKey: fact.mapKey,
    omitEmpty: fact.omitempty === true,
    pointer: fact.pointer === true,
    list: fact.list ? { type: fact.list, keys: fact.listKeys ?? [] } : undefined,
    map: fact.map,
    patchStrategy: fact.patchStrategy ? (fact.patchStrategy.split(",") as PatchStrategy[]) : [],
    patchMergeKey: fact.patchMergeKey,
  };
}

function fieldType(type: string): FieldType {
  const special = SPECIALS[type];
  if (special) return { kind: "special", special };
  const fact = structureFacts[type];
  if (!fact) return { kind: "scalar", scalar: type as Scalar };
  return fact.wrapper ? { kind: "list" } : { kind: "structure", structure: required(type) };
}
