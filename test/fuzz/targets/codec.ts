/** The three decoders: what they take is stable, and the rest is a DecodeError. */
import {
  canonicalObject,
  DecodeError,
  decodeJson,
  decodeProtobuf,
  decodeValue,
  encodeJson,
  encodeProtobuf,
  encodeYaml,
  parseYaml,
  readProtobufWatchFrame,
  type JsonObject,
  type StructureSchema,
} from "@pilothouse/api";
import { fixtures, schemaNamed } from "../corpus.ts";
import { chance, mutateBytes, mutateJsonText, pick } from "../mutate.ts";
import { bytesOf, expectSame, partOf, resultOrRefusal, utf8PartOf, type Input, type Target } from "../target.ts";

const PARTS = ["apiVersion", "kind", "bytes"];
const FIXED = [0, 1];

export const json: Target = {
  name: "json",
  casesInTests: 30_000,
  parts: PARTS,
  fixed: FIXED,
  input(random) {
    const { apiVersion, kind, json } = pick(random, fixtures);
    const isTree = chance(random, 0.6);
    const bytes = isTree
      ? utf8PartOf(mutateJsonText(random, JSON.parse(json.toString())))
      : partOf(mutateBytes(random, json, pick(random, fixtures).json));
    return [apiVersion, kind, bytes];
  },
  check(input) {
    const schema = schemaOfInput(input);
    const decoded = resultOrRefusal([DecodeError], () =>
      decodeJson(bytesOf(input[2]), schema, { findDuplicates: true }),
    );
    if (decoded) expectStable(decoded.object, schema);
  },
};

export const yaml: Target = {
  name: "yaml",
  casesInTests: 2_400,
  parts: PARTS,
  fixed: FIXED,
  input(random) {
    const { apiVersion, kind, json } = pick(random, fixtures);
    const text = chance(random, 0.2) ? pick(random, YAML_TEXTS) : yamlOf(json);
    return [apiVersion, kind, partOf(mutateBytes(random, Buffer.from(text), Buffer.from(pick(random, YAML_TEXTS))))];
  },
  check(input) {
    const value = resultOrRefusal([DecodeError], () => parseYaml(bytesOf(input[2])));
    if (value === undefined) return;
    const text = encodeYaml(value);
    expectSame("YAML, read and written and read", JSON.stringify(parseYaml(text)), JSON.stringify(value));
    const schema = schemaOfInput(input);
    const decoded = resultOrRefusal([DecodeError], () => decodeValue(value, schema));
    if (decoded) expectStable(decoded.object, schema);
  },
};

export const protobuf: Target = {
  name: "protobuf",
  casesInTests: 120_000,
  parts: PARTS,
  fixed: FIXED,
  input(random) {
    const { apiVersion, kind, protobuf } = pick(random, fixtures);
    return [apiVersion, kind, partOf(mutateBytes(random, protobuf, pick(random, fixtures).protobuf))];
  },
  check(input) {
    const bytes = bytesOf(input[2]);
    resultOrRefusal([DecodeError], () => readProtobufWatchFrame(bytes));
    const schema = schemaOfInput(input);
    const object = resultOrRefusal([DecodeError], () => decodeProtobuf(bytes, schema));
    if (object) expectStable(object, schema);
  },
};

function schemaOfInput([apiVersion = "", kind = ""]: Input): StructureSchema {
  return schemaNamed(apiVersion, kind);
}

/** What was decoded is the same after a way through JSON, and through protobuf. */
function expectStable(object: JsonObject, schema: StructureSchema): void {
  const written = encodeJson(object, schema);
  const { object: again, strictProblems } = decodeJson(written, schema, { findDuplicates: true });
  if (strictProblems.length > 0) throw new Error(`what was written has ${strictProblems.join(", ")}`);
  expectSame("JSON, written and read and written", encodeJson(again, schema), written);
  const canonical = canonicalObject(again, schema);
  const wire = encodeProtobuf(canonical, schema);
  const fromWire = canonicalObject(decodeProtobuf(wire, schema), schema);
  expectSame("protobuf, written and read and written", encodeProtobuf(fromWire, schema), wire);
}

function yamlOf(json: Buffer): string {
  return Buffer.from(encodeYaml(JSON.parse(json.toString()))).toString();
}

const YAML_TEXTS: readonly string[] = [
  "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n",
  "&a [*a]\n",
  "metadata: {name: web, labels: {yes: no, 010: 0o10, ~: null, 1.5: .inf}}\n",
  "<<: &m {a: 1}\nb:\n  <<: *m\n  <<: [*m, *m]\n",
  "a: !!binary aGk=\nb: !!set {x}\nc: !!js/function 'x'\nd: !<tag:x> y\n",
  "--- |\n  text\n...\n---\na: 1\n",
  "? {a: b}\n: c\n? [d]\n: e\n",
  "a: 'it''s'\nb: \"\\x41\\u0041\\U00000041\"\nc: >-\n  folded\n  text\n\nd: |+\n  kept\n\n",
  "%YAML 1.1\n%TAG ! tag:x,2000:\n---\n__proto__: {polluted: true}\nconstructor: {prototype: {polluted: true}}\n",
  "a:\n\t- b\n- c: - d\n",
  "- - - - - - - - - - x\n",
];
