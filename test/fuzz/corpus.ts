/** Where inputs start from: upstream's fixtures, every field filled, and well-typed objects drawn from the schema. */
import { readdirSync, readFileSync } from "node:fs";
import { readEnvelope, schemaOf, type FieldSchema, type FieldType, type StructureSchema } from "@pilothouse/api";
import type { Random } from "@pilothouse/clock";
import { kinds, type KindDefinition } from "@pilothouse/kinds";
import { below, chance, HOSTILE_NUMBERS, HOSTILE_TEXTS, pick, randomJson, times } from "./mutate.ts";

export interface Fixture {
  readonly apiVersion: string;
  readonly kind: string;
  readonly json: Buffer;
  readonly protobuf: Buffer;
}

const folder = new URL("../oracles/roundtrip-v1.36/", import.meta.url);

export const fixtures: readonly Fixture[] = readdirSync(folder)
  .filter((name) => name.endsWith(".pb"))
  .map((name) => {
    const protobuf = readFileSync(new URL(name, folder));
    const { apiVersion, kind } = readEnvelope(protobuf);
    return { apiVersion, kind, protobuf, json: readFileSync(new URL(name.replace(/\.pb$/, ".json"), folder)) };
  })
  .filter(({ apiVersion, kind }) => schemaOf(apiVersion, kind));

/** Kinds with rules of their own; these are where hostile objects meet code. */
export const fullKinds: readonly KindDefinition[] = kinds.filter(({ depth }) => depth === "full");

export function apiVersionOfKind({ group, version }: KindDefinition): string {
  return group === "" ? version : `${group}/${version}`;
}

export function schemaOfKind(kind: KindDefinition): StructureSchema {
  return schemaNamed(apiVersionOfKind(kind), kind.kind);
}

export function schemaNamed(apiVersion: string, kind: string): StructureSchema {
  const schema = schemaOf(apiVersion, kind);
  if (!schema) throw new Error(`no structure for ${apiVersion} ${kind}`);
  return schema;
}

export function fixtureOf(kind: KindDefinition): Fixture | undefined {
  const apiVersion = apiVersionOfKind(kind);
  return fixtures.find((fixture) => fixture.kind === kind.kind && fixture.apiVersion === apiVersion);
}

/** A well-typed object: the right types in the right places, and in them whatever chance brings. */
export function randomObject(random: Random, kind: KindDefinition): Record<string, unknown> {
  const object = randomStructure(random, schemaOfKind(kind), 0);
  const metadata = object["metadata"] as Record<string, unknown> | undefined;
  return {
    ...object,
    apiVersion: apiVersionOfKind(kind),
    kind: kind.kind,
    metadata: { ...metadata, ...(chance(random, 0.8) ? { name: "web" } : {}) },
  };
}

const MAX_DEPTH = 7;

function randomStructure(random: Random, schema: StructureSchema, depth: number): Record<string, unknown> {
  const share = [0.9, 0.7, 0.4, 0.25, 0.15][depth] ?? 0.1;
  const object: Record<string, unknown> = {};
  for (const field of schema.fields.values()) {
    if (depth < MAX_DEPTH && chance(random, share)) object[field.json] = randomField(random, field, depth);
  }
  return object;
}

function randomField(random: Random, field: FieldSchema, depth: number): unknown {
  const one = (): unknown => randomOne(random, field.type, field.json, depth);
  if (field.mapKey) return Object.fromEntries(times(random, 3, () => [randomText(random, field.json), one()]));
  return field.repeated ? times(random, 3, one) : one();
}

function randomOne(random: Random, type: FieldType, name: string, depth: number): unknown {
  switch (type.kind) {
    case "structure":
      return randomStructure(random, type.structure, depth + 1);
    case "list":
      return times(random, 3, () => randomText(random, name));
    case "special":
      return chance(random, 0.7) ? pick(random, SPECIAL_TEXTS) : randomJson(random, 2);
    case "scalar":
      return randomScalar(random, type.scalar, name);
  }
}

function randomScalar(random: Random, scalar: string, name: string): unknown {
  switch (scalar) {
    case "bool":
      return chance(random, 0.5);
    case "string":
      return randomText(random, name);
    case "bytes":
      return Buffer.from(randomText(random, name)).toString("base64");
    case "float64":
      return random.next();
    default: {
      const number = chance(random, 0.7) ? below(random, 100) : Math.trunc(pick(random, HOSTILE_NUMBERS));
      return scalar === "int32" ? Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, number)) : Math.min(number, 2 ** 53);
    }
  }
}

/** What validation looks for, so that objects get past its first rule. */
const WORDS: readonly string[] = [
  "web",
  "a-b",
  "a.b/c",
  "10.0.0.1",
  "10.0.0.0/33",
  "2001:db8::1",
  "::ffff:1.2.3.4",
  "TCP",
  "Always",
  "ClusterIP",
  "NodePort",
  "ExternalName",
  "None",
  "In",
  "Exists",
  "NoSchedule",
  "RollingUpdate",
  "kubernetes.io/tls",
  "kubernetes.io/dockerconfigjson",
  "kubernetes.io/hostname",
  "/var/lib",
  "../up",
  "http",
  "$(A)",
  "0",
  "8080",
];
const SPECIAL_TEXTS: readonly string[] = [
  "100m",
  "1Gi",
  "-5",
  "1e3",
  "2026-01-01T00:00:00Z",
  "80",
  "http",
  "50%",
  "-1%",
];

function randomText(random: Random, field: string): string {
  if (field === "kind") return pick(random, ["Pod", "Node", "User", "Group", "ServiceAccount", "ClusterRole", "x"]);
  return chance(random, 0.75) ? pick(random, WORDS) : pick(random, HOSTILE_TEXTS);
}
