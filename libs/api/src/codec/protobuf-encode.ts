/** Objects to protobuf messages, as gogo writes Kubernetes' types: what is no pointer is always there, even when zero. */
import {
  structureOf,
  type FieldSchema,
  type FieldType,
  type Scalar,
  type Special,
  type StructureSchema,
} from "../schema.ts";
import { isJsonObject, type JsonObject } from "./fit.ts";
import { stringifyJson } from "./json.ts";
import { wireTime } from "./time.ts";
import { WireWriter } from "./wire.ts";

/** The bare message, without an envelope. */
export function encodeMessage(object: JsonObject, schema: StructureSchema): Uint8Array {
  const writer = new WireWriter();
  writeStructure(writer, object, schema);
  return writer.finish();
}

/** Everything below writes backwards: last field first. */
function writeStructure(writer: WireWriter, object: JsonObject, schema: StructureSchema): void {
  for (let index = schema.wire.length - 1; index >= 0; index--) {
    const { number, field, embedded } = schema.wire[index] as (typeof schema.wire)[number];
    if (embedded) {
      const mark = writer.position;
      writeStructure(writer, object, embedded);
      writer.message(number, mark);
    } else writeField(writer, number, object[field.json], field);
  }
}

function writeField(writer: WireWriter, number: number, value: unknown, field: FieldSchema): void {
  if (value === undefined || value === null) {
    if (!field.pointer && !field.mapKey && !field.repeated) writeZero(writer, number, field.type);
  } else if (field.mapKey) writeMap(writer, number, value as JsonObject, field.type);
  else if (field.repeated) {
    const list = value as readonly unknown[];
    for (let index = list.length - 1; index >= 0; index--) writeOne(writer, number, list[index], field.type);
  } else writeOne(writer, number, value, field.type);
}

function writeMap(writer: WireWriter, number: number, map: JsonObject, type: FieldType): void {
  for (const key of Object.keys(map).sort().reverse()) {
    const mark = writer.position;
    writeOne(writer, 2, map[key], type);
    writer.string(1, key);
    writer.message(number, mark);
  }
}

function writeZero(writer: WireWriter, number: number, type: FieldType): void {
  if (type.kind === "list" || (type.kind === "scalar" && type.scalar === "bytes")) return;
  if (type.kind === "scalar") writeScalar(writer, number, ZEROS[type.scalar], type.scalar);
  else if (type.kind === "structure") writeOne(writer, number, {}, type);
  else writeSpecial(writer, number, undefined, type.special);
}

const ZEROS: Readonly<Record<Scalar, unknown>> = { string: "", bool: false, int32: 0, int64: 0, float64: 0, bytes: "" };

function writeOne(writer: WireWriter, number: number, value: unknown, type: FieldType): void {
  const mark = writer.position;
  switch (type.kind) {
    case "scalar":
      writeScalar(writer, number, value, type.scalar);
      return;
    case "structure":
      writeStructure(writer, isJsonObject(value) ? value : {}, type.structure);
      writer.message(number, mark);
      return;
    case "list":
      for (const element of [...(value as readonly string[])].reverse()) writer.string(1, element);
      writer.message(number, mark);
      return;
    case "special":
      writeSpecial(writer, number, value, type.special);
  }
}

function writeScalar(writer: WireWriter, number: number, value: unknown, scalar: Scalar): void {
  switch (scalar) {
    case "string":
      writer.string(number, value as string);
      return;
    case "bytes":
      writer.bytes(number, Buffer.from(value as string, "base64"));
      return;
    case "bool":
      writer.integer(number, value === true ? 1 : 0);
      return;
    case "int32":
    case "int64":
      writer.integer(number, value as number);
      return;
    case "float64":
      writer.double(number, value as number);
  }
}

function writeSpecial(writer: WireWriter, number: number, value: unknown, special: Special): void {
  const mark = writer.position;
  switch (special) {
    case "Quantity":
      writer.string(1, typeof value === "string" ? value : "0");
      break;
    case "Time":
    case "MicroTime":
      if (typeof value === "string") writeTime(writer, value, special);
      break;
    case "IntOrString":
      writer.string(3, typeof value === "string" ? value : "");
      writer.integer(2, typeof value === "number" ? value : 0);
      writer.integer(1, typeof value === "string" ? 1 : 0);
      break;
    case "FieldsV1":
    case "RawExtension":
    case "JSON":
      if (value !== undefined && value !== null) writer.string(1, stringifyJson(value));
      break;
    case "Any":
      return;
    case "JSONSchemaPropsOrArray":
    case "JSONSchemaPropsOrStringArray":
      writeSchemaOr(writer, value);
      break;
    case "JSONSchemaPropsOrBool":
      if (isJsonObject(value)) writeOne(writer, 2, value, schemaProps());
      writer.integer(1, value === false || value === undefined ? 0 : 1);
  }
  writer.message(number, mark);
}

function writeTime(writer: WireWriter, text: string, special: "Time" | "MicroTime"): void {
  const { epochSeconds, nanos } = wireTime(text);
  writer.integer(2, special === "Time" ? 0 : nanos - (nanos % 1000));
  writer.integer(1, epochSeconds);
}

/** A schema in field 1, or an array of schemas or strings in field 2. */
function writeSchemaOr(writer: WireWriter, value: unknown): void {
  if (Array.isArray(value)) {
    for (const element of [...(value as readonly unknown[])].reverse()) {
      if (typeof element === "string") writer.string(2, element);
      else writeOne(writer, 2, element, schemaProps());
    }
  } else if (isJsonObject(value)) writeOne(writer, 1, value, schemaProps());
}

function schemaProps(): FieldType {
  return { kind: "structure", structure: structureOf(SCHEMA_PROPS) as StructureSchema };
}

const SCHEMA_PROPS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
