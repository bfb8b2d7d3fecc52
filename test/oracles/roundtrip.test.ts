/** Upstream's fixtures of every kind, with every field filled: JSON and protobuf say the same, byte for byte. */
import { readdirSync, readFileSync } from "node:fs";
import {
  decodeJson,
  decodeProtobuf,
  encodeJson,
  encodeProtobuf,
  readEnvelope,
  schemaOf,
  type StructureSchema,
} from "@pilothouse/api";
import { describe, expect, it } from "vitest";
import { FIXTURES_WITHOUT_SCHEMA } from "./exceptions.ts";

const folder = new URL("roundtrip-v1.36/", import.meta.url);
const fixture = (name: string): Buffer => readFileSync(new URL(name, folder));
const names = readdirSync(folder)
  .filter((name) => name.endsWith(".pb"))
  .map((name) => name.slice(0, -".pb".length));
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function schemaFor(name: string): StructureSchema | undefined {
  const { apiVersion, kind } = readEnvelope(fixture(`${name}.pb`));
  return schemaOf(apiVersion, kind);
}

describe("every fixture", () => {
  const known = names.filter((name) => !(name in FIXTURES_WITHOUT_SCHEMA));

  it.each(known)("%s in JSON decodes without a strict problem and encodes to the same text", (name) => {
    const schema = schemaFor(name) as StructureSchema;
    const bytes = fixture(`${name}.json`);
    const { object, strictProblems } = decodeJson(bytes, schema, { findDuplicates: true });
    expect(strictProblems).toEqual([]);
    expect(textOf(encodeJson(object, schema))).toBe(JSON.stringify(JSON.parse(bytes.toString())));
  });

  it.each(known)("%s in protobuf decodes to its JSON twin and encodes to the same bytes", (name) => {
    const schema = schemaFor(name) as StructureSchema;
    const bytes = fixture(`${name}.pb`);
    const object = decodeProtobuf(bytes, schema);
    expect(object).toEqual(JSON.parse(fixture(`${name}.json`).toString()));
    expect(Buffer.from(encodeProtobuf(object, schema)).equals(bytes)).toBe(true);
  });

  it("without a schema is listed with its reason", () => {
    const without = names.filter((name) => !schemaFor(name));
    expect(without.sort()).toEqual(Object.keys(FIXTURES_WITHOUT_SCHEMA).sort());
  });
});
