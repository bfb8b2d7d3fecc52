/**
 * Fits parsed JSON to a structure, in place: unknown fields are dropped and reported, null counts as absent, values of the
 * wrong type are errors in Go's words, times are normalised. Used for every input that becomes a typed object.
 */
import { parseQuantity, QuantityError } from "@pilothouse/quantity";
import type { FieldSchema, FieldType, Scalar, Special, StructureSchema } from "../schema.ts";
import { DecodeError, MAX_STRICT_PROBLEMS } from "./limits.ts";
import { canonicalMicroTime, canonicalTime } from "./time.ts";

export type JsonObject = { [field: string]: unknown };

export interface Fit {
  /** The paths of the unknown fields that were dropped, e.g. `spec.containers[0].zz`: the first MAX_STRICT_PROBLEMS. */
  readonly unknown: readonly string[];
  /** How many members the value's objects had, those that were dropped too. */
  readonly members: number;
}

export function fitToSchema(value: unknown, schema: StructureSchema): Fit {
  const fitter = new Fitter();
  fitter.root(value, schema);
  return fitter;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A step from the root: a structure's field, a list's index, or a map's key. */
type Step = string | number | { readonly key: string };

class Fitter implements Fit {
  readonly unknown: string[] = [];
  members = 0;
  readonly #steps: Step[] = [];
  /** Names the innermost structure in error texts. */
  #within: StructureSchema | undefined;

  root(value: unknown, schema: StructureSchema): void {
    if (!isJsonObject(value)) throw this.#mismatch(jsonWord(value), schema.goType);
    this.#structure(value, schema);
  }

  #structure(object: JsonObject, schema: StructureSchema): void {
    const outer = this.#within;
    const names = Object.keys(object);
    this.members += names.length;
    for (const name of names) {
      const field = schema.fields.get(name);
      this.#steps.push(name);
      if (!field) {
        this.members += membersOf(object[name]);
        if (this.unknown.length < MAX_STRICT_PROBLEMS) this.unknown.push(this.#path());
        delete object[name];
      } else if (object[name] === null) {
        delete object[name];
      } else {
        this.#within = schema;
        const fitted = this.#field(object[name], field);
        if (fitted === undefined) delete object[name];
        else object[name] = fitted;
      }
      this.#steps.pop();
    }
    this.#within = outer;
  }

  #field(value: unknown, field: FieldSchema): unknown {
    if (field.mapKey) return this.#map(value, field.type);
    if (field.repeated) return this.#list(value, field.type);
    return this.#one(value, field.type);
  }

  #map(value: unknown, type: FieldType): JsonObject {
    if (!isJsonObject(value)) throw this.#mismatch(jsonWord(value), `map[string]${goTypeOf(type)}`);
    const keys = Object.keys(value);
    this.members += keys.length;
    for (const key of keys) {
      this.#steps.push({ key });
      const fitted = value[key] === null ? zeroOf(type) : this.#one(value[key], type);
      if (fitted !== value[key]) setOwn(value, key, fitted);
      this.#steps.pop();
    }
    return value;
  }

  #list(value: unknown, type: FieldType): unknown[] {
    if (!Array.isArray(value)) throw this.#mismatch(jsonWord(value), `[]${goTypeOf(type)}`);
    const list: unknown[] = value;
    for (let index = 0; index < list.length; index++) {
      this.#steps.push(index);
      list[index] = list[index] === null ? zeroOf(type) : this.#one(list[index], type);
      this.#steps.pop();
    }
    return list;
  }

  #one(value: unknown, type: FieldType): unknown {
    switch (type.kind) {
      case "scalar":
        return this.#scalar(value, type.scalar);
      case "structure":
        if (!isJsonObject(value)) throw this.#mismatch(jsonWord(value), type.structure.goType);
        this.#structure(value, type.structure);
        return value;
      case "list":
        return this.#list(value, STRING);
      case "special":
        return this.#special(value, type.special);
    }
  }

  #scalar(value: unknown, scalar: Scalar): unknown {
    switch (scalar) {
      case "string":
        if (typeof value === "string") return value;
        break;
      case "bool":
        if (typeof value === "boolean") return value;
        break;
      case "float64":
        if (typeof value === "number") return value;
        break;
      case "int32":
      case "int64":
        if (typeof value !== "number") break;
        if (!isInteger(value, scalar)) throw this.#mismatch(`number ${value}`, scalar);
        return value;
      case "bytes":
        if (typeof value === "string") return canonicalBase64(value);
        break;
    }
    throw this.#mismatch(jsonWord(value), scalar === "bytes" ? "[]uint8" : scalar);
  }

  #special(value: unknown, special: Special): unknown {
    switch (special) {
      case "Quantity":
        return quantityText(value);
      case "Time":
        return canonicalTime(stringOf(value));
      case "MicroTime":
        return canonicalMicroTime(stringOf(value));
      case "IntOrString":
        if (typeof value === "string") return value;
        if (typeof value === "number" && isInteger(value, "int32")) return value;
        throw goValueMismatch(typeof value === "number" ? `number ${value}` : jsonWord(value), "int32");
      case "FieldsV1":
      case "RawExtension":
      case "JSON":
      case "Any":
        this.members += membersOf(value);
        return value;
      case "JSONSchemaPropsOrBool":
      case "JSONSchemaPropsOrArray":
      case "JSONSchemaPropsOrStringArray":
        this.members += membersOf(value);
        return value; // checked by the kind, which alone knows the recursion
    }
  }

  #mismatch(given: string, wanted: string): DecodeError {
    const path = this.#steps.filter((step) => typeof step === "string").join(".");
    if (!this.#within || path === "") return goValueMismatch(given, wanted);
    return new DecodeError(
      `json: cannot unmarshal ${given} into Go struct field ${this.#within.goName}.${path} of type ${wanted}`,
    );
  }

  #path(): string {
    let path = "";
    for (const step of this.#steps) {
      if (typeof step === "number") path += `[${step}]`;
      else path += `${path === "" ? "" : "."}${typeof step === "string" ? step : step.key}`;
    }
    return path;
  }
}

/** How many members the objects of a free value have. */
function membersOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const items: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  let members = items === value ? 0 : items.length;
  for (const item of items) if (typeof item === "object") members += membersOf(item);
  return members;
}

const STRING: FieldType = { kind: "scalar", scalar: "string" };
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Sets a key that may be `__proto__`. */
export function setOwn(object: JsonObject, key: string, value: unknown): void {
  if (key === "__proto__")
    Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
  else object[key] = value;
}

/** What Go holds for null in a list or map. */
export function zeroOf(type: FieldType): unknown {
  switch (type.kind) {
    case "scalar":
      return type.scalar === "bool" ? false : type.scalar === "string" || type.scalar === "bytes" ? "" : 0;
    case "structure":
      return {};
    case "list":
      return [];
    case "special":
      return type.special === "Quantity" ? "0" : type.special === "IntOrString" ? 0 : null;
  }
}

/** A quantity in its canonical form: `1000m` is `1`, 0.5 is `500m`. */
export function quantityText(value: unknown): string {
  if (typeof value !== "string" && typeof value !== "number") return quantityText(JSON.stringify(value));
  try {
    return parseQuantity(value).toString();
  } catch (error) {
    if (error instanceof QuantityError) throw new DecodeError(error.message);
    throw error;
  }
}

/** The doubles next to the limits of int64 count as the limits. */
function isInteger(value: number, type: "int32" | "int64"): boolean {
  if (!Number.isInteger(value)) return false;
  return type === "int32" ? value === (value | 0) : Math.abs(value) <= 2 ** 63;
}

function stringOf(value: unknown): string {
  if (typeof value !== "string") throw goValueMismatch(jsonWord(value), "string");
  return value;
}

function canonicalBase64(text: string): string {
  if (BASE64.test(text)) return text;
  const joined = text.replaceAll(/[\r\n]/g, "");
  if (BASE64.test(joined)) return joined;
  const bad = text.search(/[^A-Za-z0-9+/=\r\n]/);
  throw new DecodeError(`illegal base64 data at input byte ${bad >= 0 ? bad : Math.floor((text.length - 1) / 4) * 4}`);
}

function goTypeOf(type: FieldType): string {
  switch (type.kind) {
    case "scalar":
      return type.scalar === "bytes" ? "[]uint8" : type.scalar;
    case "structure":
      return type.structure.goType;
    case "list":
      return "[]string";
    case "special":
      return GO_SPECIALS[type.special];
  }
}

const GO_SPECIALS: Readonly<Record<Special, string>> = {
  Quantity: "resource.Quantity",
  Time: "v1.Time",
  MicroTime: "v1.MicroTime",
  IntOrString: "intstr.IntOrString",
  FieldsV1: "v1.FieldsV1",
  RawExtension: "runtime.RawExtension",
  JSON: "v1.JSON",
  Any: "interface {}",
  JSONSchemaPropsOrArray: "v1.JSONSchemaPropsOrArray",
  JSONSchemaPropsOrBool: "v1.JSONSchemaPropsOrBool",
  JSONSchemaPropsOrStringArray: "v1.JSONSchemaPropsOrStringArray",
};

function goValueMismatch(given: string, wanted: string): DecodeError {
  return new DecodeError(`json: cannot unmarshal ${given} into Go value of type ${wanted}`);
}

/** Go's word for the type of a JSON value. */
export function jsonWord(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}
