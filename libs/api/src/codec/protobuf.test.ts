import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalObject } from "./canonical.ts";
import { isJsonObject, type JsonObject } from "./fit.ts";
import { decodeJson, encodeJson } from "./json.ts";
import { DecodeError } from "./limits.ts";
import { decodeProtobuf, encodeProtobuf, envelop, readEnvelope } from "./protobuf.ts";
import { jsonWatchFrame, protobufWatchFrame, readProtobufWatchFrame } from "./watch-frame.ts";
import { schemaOf, type FieldSchema, type FieldType, type StructureSchema } from "../schema.ts";

const oracles = new URL("../../../../test/oracles/roundtrip-v1.36/", import.meta.url);
const fixture = (name: string): Buffer => readFileSync(new URL(name, oracles));
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const pod = schemaOf("v1", "Pod") as StructureSchema;

describe("any object", () => {
  it.each([
    ["v1", "Pod"],
    ["apps/v1", "Deployment"],
    ["v1", "Service"],
    ["v1", "Secret"],
    ["coordination.k8s.io/v1", "Lease"],
    ["authorization.k8s.io/v1", "SubjectAccessReview"],
    ["apiextensions.k8s.io/v1", "CustomResourceDefinition"],
  ])("%s %s survives JSON and protobuf alike", (apiVersion, kind) => {
    const schema = schemaOf(apiVersion, kind) as StructureSchema;
    fc.assert(
      fc.property(arbitraryStructure(schema, 0), (given) => {
        const object = canonicalObject({ ...given, kind, apiVersion }, schema);
        expect(canonicalObject(decodeProtobuf(encodeProtobuf(object, schema), schema), schema)).toEqual(object);
        expect(decodeJson(encodeJson(object, schema), schema)).toMatchObject({ strictProblems: [] });
      }),
      { numRuns: 50 },
    );
  });
});

describe("hostile input", () => {
  it("ends in a DecodeError or an object, whatever is cut off or flipped", () => {
    const whole = fixture("core.v1.Pod.pb");
    const attempt = (bytes: Uint8Array): void => {
      try {
        encodeJson(decodeProtobuf(bytes, pod), pod);
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError);
      }
    };
    for (let length = 0; length < whole.length; length += 37) attempt(whole.subarray(0, length));
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
        const bytes = Buffer.from(whole);
        bytes[at] = byte;
        attempt(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  it("refuses what is no envelope, lengths beyond the end, endless varints and endless nesting", () => {
    const inPod = (...raw: number[]): Uint8Array => envelop("v1", "Pod", Uint8Array.from(raw));
    expect(() => decodeProtobuf(Buffer.from("{}"), pod)).toThrow("expected prefix [107 56 115 0]");
    expect(() => decodeProtobuf(inPod(0x0a, 0xff, 0xff, 0xff, 0x7f), pod)).toThrow("unexpected EOF");
    expect(() => decodeProtobuf(inPod(...Array<number>(11).fill(0xff)), pod)).toThrow("proto: integer overflow");
    expect(() => decodeProtobuf(inPod(0x08, 0x01), pod)).toThrow("proto: wrong wireType = 0 for field metadata");
    const list = schemaOf("v1", "List") as StructureSchema;
    let nested: JsonObject = { apiVersion: "v1", kind: "List", items: [] };
    let bytes = encodeProtobuf(nested, list);
    for (let level = 0; level < 600; level++) {
      nested = { apiVersion: "v1", kind: "List", items: [] };
      bytes = envelop("v1", "List", listOfRaw(bytes));
    }
    expect(() => decodeProtobuf(bytes, list)).toThrow("exceeded max depth");
  });
});

describe("watch frames", () => {
  it("are a line of JSON, or a length and a message", () => {
    const object = new TextEncoder().encode(`{"kind":"Pod"}`);
    expect(textOf(jsonWatchFrame("ADDED", object))).toBe(`{"type":"ADDED","object":{"kind":"Pod"}}\n`);
    const enveloped = fixture("core.v1.Pod.pb");
    const frame = protobufWatchFrame("MODIFIED", enveloped);
    const read = readProtobufWatchFrame(frame);
    expect(read.type).toBe("MODIFIED");
    expect(Buffer.from(read.enveloped).equals(enveloped)).toBe(true);
    expect(() => readProtobufWatchFrame(frame.subarray(0, 100))).toThrow(DecodeError);
  });

  it("have upstream's message inside", () => {
    const { raw } = readEnvelope(fixture("core.v1.WatchEvent.pb"));
    const twin = JSON.parse(fixture("core.v1.WatchEvent.json").toString()) as { type: string; object: unknown };
    const length = Buffer.alloc(4);
    length.writeUInt32BE(raw.length);
    const { type, enveloped } = readProtobufWatchFrame(Buffer.concat([length, raw]));
    expect(type).toBe(twin.type);
    expect(JSON.parse(textOf(enveloped))).toEqual(twin.object);
  });
});

/** {2: {1: bytes}}: a v1.List with one item. */
function listOfRaw(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([tagged(0x12, tagged(0x0a, bytes))]);
}

function tagged(tag: number, content: Uint8Array): Buffer {
  const length: number[] = [];
  for (let rest = content.length; ; rest = Math.floor(rest / 128)) {
    length.push((rest % 128) + (rest > 127 ? 128 : 0));
    if (rest < 128) break;
  }
  return Buffer.concat([Uint8Array.from([tag, ...length]), content]);
}

/** Objects with some of the fields that a structure has, three levels deep. */
function arbitraryStructure(schema: StructureSchema, depth: number): fc.Arbitrary<JsonObject> {
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of schema.fields.values()) {
    if (field.type.kind === "structure" && depth > 2) continue;
    members[field.json] = arbitraryField(field, depth);
  }
  return fc.record(members, { requiredKeys: [] }).filter(isJsonObject);
}

function arbitraryField(field: FieldSchema, depth: number): fc.Arbitrary<unknown> {
  const one = arbitraryOne(field.type, depth);
  if (field.mapKey) return fc.dictionary(fc.string(), one, { minKeys: 1, maxKeys: 2 });
  return field.repeated ? fc.array(one, { minLength: 1, maxLength: 2 }) : one;
}

function arbitraryOne(type: FieldType, depth: number): fc.Arbitrary<unknown> {
  switch (type.kind) {
    case "structure":
      return arbitraryStructure(type.structure, depth + 1);
    case "list":
      return fc.array(fc.string(), { minLength: 1, maxLength: 2 });
    case "scalar":
      return {
        string: fc.string(),
        bool: fc.boolean(),
        int32: fc.integer(),
        int64: fc.maxSafeInteger(),
        float64: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
        bytes: fc.uint8Array({ minLength: 1, maxLength: 9 }).map((bytes) => Buffer.from(bytes).toString("base64")),
      }[type.scalar];
    case "special":
      return arbitrarySpecial(type.special);
  }
}

function arbitrarySpecial(special: Extract<FieldType, { kind: "special" }>["special"]): fc.Arbitrary<unknown> {
  switch (special) {
    case "Quantity":
      return fc.constantFrom("0", "100m", "1Gi", "-5", "1e3", "1500M");
    case "Time":
      return fc.constantFrom("2026-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z");
    case "MicroTime":
      return fc.constantFrom("2026-01-01T00:00:00.000001Z", "1969-12-31T23:59:59.999999Z");
    case "IntOrString":
      return fc.oneof(fc.integer(), fc.string());
    case "JSONSchemaPropsOrBool":
      return fc.oneof(fc.boolean(), fc.constant({ type: "string" }));
    case "JSONSchemaPropsOrArray":
      return fc.oneof(fc.constant({ type: "string" }), fc.constant([{ type: "string" }]));
    case "JSONSchemaPropsOrStringArray":
      return fc.oneof(fc.constant({ type: "string" }), fc.constant(["a", "b"]));
    case "FieldsV1":
    case "RawExtension":
    case "JSON":
    case "Any":
      return fc.constantFrom<unknown>({}, { "f:a": {} }, { kind: "X", list: [1, "a", null] });
  }
}
