/** Protobuf messages to objects. Unknown fields are skipped, as every Go client does; zero values that JSON leaves out are left out. */
import {
  schemaOf,
  structureOf,
  type FieldSchema,
  type FieldType,
  type Scalar,
  type Special,
  type StructureSchema,
} from "../schema.ts";
import { quantityText, setOwn, zeroOf, type JsonObject } from "./fit.ts";
import { parseJson } from "./json.ts";
import { DecodeError } from "./limits.ts";
import { microTimeText, timeText } from "./time.ts";
import { BYTES, FIXED64, VARINT, WireReader } from "./wire.ts";

/** What stands around every object on the wire. */
export interface Envelope {
  readonly apiVersion: string;
  readonly kind: string;
  /** The message. A view of the input, not a copy. */
  readonly raw: Uint8Array;
}

/** Four bytes before every envelope. */
export const MAGIC = Uint8Array.from([0x6b, 0x38, 0x73, 0x00]);

/** Levels of messages; structures nest less than 30 deep, except for schemas of schemas. */
const MAX_MESSAGE_DEPTH = 500;

/** Reads `k8s\0` and what it encloses, without its content. */
export function readEnvelope(bytes: Uint8Array): Envelope {
  if (!MAGIC.every((byte, index) => bytes[index] === byte)) {
    throw new DecodeError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  }
  const reader = new WireReader(bytes, MAGIC.length);
  const envelope = { apiVersion: "", kind: "", raw: new Uint8Array() as Uint8Array };
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (number === 1 && wireType === BYTES) readTypeMeta(reader.message(), envelope);
    else if (number === 2 && wireType === BYTES) envelope.raw = reader.bytes();
    else reader.skip(wireType);
  }
  return envelope;
}

function readTypeMeta(reader: WireReader, envelope: { apiVersion: string; kind: string }): void {
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (number === 1 && wireType === BYTES) envelope.apiVersion = reader.string();
    else if (number === 2 && wireType === BYTES) envelope.kind = reader.string();
    else reader.skip(wireType);
  }
}

/** The bare message as an object of this structure. Throws a DecodeError for anything that is not such a message. */
export function decodeMessage(raw: Uint8Array, schema: StructureSchema): JsonObject {
  return readStructure(new WireReader(raw), schema, {}, 0);
}

function readStructure(reader: WireReader, schema: StructureSchema, out: JsonObject, depth: number): JsonObject {
  if (depth > MAX_MESSAGE_DEPTH) throw new DecodeError("exceeded max depth");
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    const wireField = schema.wireByNumber.get(number);
    if (!wireField) reader.skip(wireType);
    else if (wireField.embedded) {
      expectType(wireType, BYTES, wireField.embedded.goName);
      readStructure(reader.message(), wireField.embedded, out, depth + 1);
    } else readField(reader, wireType, wireField.field, out, depth + 1);
  }
  return out;
}

function readField(reader: WireReader, wireType: number, field: FieldSchema, out: JsonObject, depth: number): void {
  const name = field.json;
  if (field.mapKey) {
    expectType(wireType, BYTES, name);
    out[name] ??= {};
    readEntry(reader.message(), field.type, out[name] as JsonObject, depth);
  } else if (field.repeated) {
    out[name] ??= [];
    readElement(reader, wireType, field, out[name] as unknown[], depth);
  } else {
    const value = readOne(reader, wireType, field.type, name, depth, out[name]);
    const isOmitted = value === undefined || (field.omitEmpty && !field.pointer && isZeroScalar(value, field.type));
    if (isOmitted) delete out[name];
    else out[name] = value;
  }
}

function readEntry(reader: WireReader, type: FieldType, map: JsonObject, depth: number): void {
  let key = "";
  let value = zeroOf(type);
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (number === 1) {
      expectType(wireType, BYTES, "key");
      key = reader.string();
    } else if (number === 2) value = readOne(reader, wireType, type, "value", depth, undefined) ?? value;
    else reader.skip(wireType);
  }
  setOwn(map, key, value);
}

function readElement(reader: WireReader, wireType: number, field: FieldSchema, list: unknown[], depth: number): void {
  const { type } = field;
  const isPacked = wireType === BYTES && type.kind === "scalar" && WIRE_TYPES[type.scalar] !== BYTES;
  if (!isPacked) {
    list.push(readOne(reader, wireType, type, field.json, depth, undefined) ?? zeroOf(type));
    return;
  }
  const packed = reader.message();
  while (!packed.done) list.push(readScalar(packed, type.scalar));
}

/** `existing` is merged into when a message comes in several pieces. */
function readOne(
  reader: WireReader,
  wireType: number,
  type: FieldType,
  name: string,
  depth: number,
  existing: unknown,
): unknown {
  expectType(wireType, type.kind === "scalar" ? WIRE_TYPES[type.scalar] : BYTES, name);
  switch (type.kind) {
    case "scalar":
      return readScalar(reader, type.scalar);
    case "structure":
      return readStructure(reader.message(), type.structure, (existing as JsonObject | undefined) ?? {}, depth);
    case "list":
      return readStrings(reader.message());
    case "special":
      return readSpecial(reader.message(), type.special, depth);
  }
}

function readScalar(reader: WireReader, scalar: Scalar): unknown {
  switch (scalar) {
    case "string":
      return reader.string();
    case "bytes":
      return reader.bytes().toString("base64");
    case "bool":
      return reader.unsigned() !== 0;
    case "int32":
      return reader.int32();
    case "int64":
      return reader.int64();
    case "float64":
      return reader.double();
  }
}

function readStrings(reader: WireReader): string[] {
  const list: string[] = [];
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (number === 1 && wireType === BYTES) list.push(reader.string());
    else reader.skip(wireType);
  }
  return list;
}

function readSpecial(reader: WireReader, special: Special, depth: number): unknown {
  switch (special) {
    case "Quantity":
      return quantityText(readStrings(reader)[0] ?? "0");
    case "Time":
    case "MicroTime":
      return readTime(reader, special);
    case "IntOrString":
      return readIntOrString(reader);
    case "FieldsV1":
    case "JSON":
      return readRaw(reader, parseJson);
    case "RawExtension":
      return readRaw(reader, (raw) => (raw[0] === MAGIC[0] ? decodeEnveloped(raw, depth) : parseJson(raw)));
    case "Any":
      return undefined;
    case "JSONSchemaPropsOrArray":
    case "JSONSchemaPropsOrStringArray":
    case "JSONSchemaPropsOrBool":
      return readSchemaOr(reader, special, depth);
  }
}

function decodeEnveloped(bytes: Uint8Array, depth: number): JsonObject {
  const { apiVersion, kind, raw } = readEnvelope(bytes);
  const schema = schemaOf(apiVersion, kind);
  if (!schema) throw new DecodeError(`no kind "${kind}" is registered for version "${apiVersion}"`);
  return { kind, apiVersion, ...readStructure(new WireReader(raw), schema, {}, depth + 1) };
}

function readRaw(reader: WireReader, decode: (raw: Uint8Array) => unknown): unknown {
  let value: unknown;
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (number === 1 && wireType === BYTES) {
      const raw = reader.bytes();
      value = raw.length === 0 ? undefined : (decode(raw) ?? undefined);
    } else reader.skip(wireType);
  }
  return value;
}

function readTime(reader: WireReader, special: "Time" | "MicroTime"): string | undefined {
  if (reader.done) return undefined;
  let seconds = 0;
  let nanos = 0;
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (number === 1 && wireType === VARINT) seconds = reader.int64();
    else if (number === 2 && wireType === VARINT) nanos = reader.int32();
    else reader.skip(wireType);
  }
  if (seconds < MIN_SECONDS || seconds > MAX_SECONDS || nanos < 0 || nanos > 999_999_999) {
    throw new DecodeError("Time.MarshalJSON: year outside of range [0,9999]");
  }
  return special === "Time" ? timeText(seconds) : microTimeText(seconds, Math.floor(nanos / 1000));
}

/** The first second of year 1 and the last of year 9999. */
const MIN_SECONDS = -62_135_596_800;
const MAX_SECONDS = 253_402_300_799;

function readIntOrString(reader: WireReader): number | string {
  let type = 0;
  let number_ = 0;
  let text = "";
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (number === 1 && wireType === VARINT) type = reader.int64();
    else if (number === 2 && wireType === VARINT) number_ = reader.int32();
    else if (number === 3 && wireType === BYTES) text = reader.string();
    else reader.skip(wireType);
  }
  return type === 1 ? text : number_;
}

/** A schema, or else an array of schemas, an array of strings, or a boolean. */
function readSchemaOr(reader: WireReader, special: Special, depth: number): unknown {
  const schemaField = special === "JSONSchemaPropsOrBool" ? 2 : 1;
  const props = structureOf(SCHEMA_PROPS) as StructureSchema;
  let schema: JsonObject | undefined;
  let isAllowed = false;
  const list: unknown[] = [];
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (number === schemaField && wireType === BYTES) schema = readStructure(reader.message(), props, {}, depth + 1);
    else if (number === 1 && wireType === VARINT) isAllowed = reader.unsigned() !== 0;
    else if (number === 2 && wireType === BYTES) {
      const isText = special === "JSONSchemaPropsOrStringArray";
      list.push(isText ? reader.string() : readStructure(reader.message(), props, {}, depth + 1));
    } else reader.skip(wireType);
  }
  return schema ?? (special === "JSONSchemaPropsOrBool" ? isAllowed : list);
}

const SCHEMA_PROPS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

const WIRE_TYPES: Readonly<Record<Scalar, number>> = {
  string: BYTES,
  bytes: BYTES,
  bool: VARINT,
  int32: VARINT,
  int64: VARINT,
  float64: FIXED64,
};

function expectType(given: number, wanted: number, name: string): void {
  if (given !== wanted) {
    throw new DecodeError(`proto: wrong wireType = ${given} for field ${name}`);
  }
}

function isZeroScalar(value: unknown, type: FieldType): boolean {
  return type.kind === "scalar" && value === zeroOf(type);
}
