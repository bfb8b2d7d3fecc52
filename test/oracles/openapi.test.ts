/** The published API of v1.36 against the OpenAPI documents that Pilothouse makes of the kinds it serves. */
import { readFileSync } from "node:fs";
import { kinds, views } from "@pilothouse/kinds";
import { describe, expect, it } from "vitest";
import { v2Document } from "../../services/apiserver/src/core/openapi/documents.ts";
import { operationsOf } from "../../services/apiserver/src/core/openapi/operations.ts";
import { BINDINGS } from "../../services/apiserver/src/registry/virtual-kinds.ts";
import { NOT_DESCRIBED_PARAMETERS, OTHER_DEFINITIONS, UNSERVED_PATHS } from "./exceptions.ts";

type Json = Record<string, unknown>;
interface Swagger {
  readonly paths: Record<string, Record<string, Json>>;
  readonly definitions: Record<string, Json>;
  readonly parameters: Record<string, Json>;
}

const oracle = JSON.parse(readFileSync(new URL("openapi-v1.36.json", import.meta.url), "utf8")) as Swagger;
const ours = v2Document(operationsOf([...kinds, ...views, BINDINGS]), "v1.36.0") as unknown as Swagger;
const METHODS = ["get", "put", "post", "delete", "patch", "head", "options"] as const;

describe("operations of the served kinds", () => {
  const shared = Object.keys(ours.paths).flatMap((path) =>
    METHODS.filter((method) => ours.paths[path]?.[method]).map((method) => [path, method] as const),
  );

  it("are a good part of the whole", () => {
    expect(shared.length).toBeGreaterThan(400);
  });

  it.each(shared)("%s %s is upstream's", (path, method) => {
    const theirs = oracle.paths[path]?.[method];
    expect(theirs).toBeDefined();
    expect(essence(ours, path, method)).toEqual(essence(oracle, path, method));
  });

  it("lack nothing but what is listed", () => {
    const served = [...kinds, ...views, BINDINGS].map(({ group, version, namespaced, resource }) => {
      const base = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
      return `${base}${namespaced ? "/namespaces/{namespace}" : ""}/${resource}`;
    });
    const missing = Object.keys(oracle.paths).filter(
      (path) => served.some((base) => path === base || path.startsWith(`${base}/`)) && !(path in ours.paths),
    );
    const names = missing.map((path) => path.replace(/^.*\/([^/]+)\/\{name\}\//, "$1/"));
    expect(names.filter((name) => !(name in UNSERVED_PATHS))).toEqual([]);
  });
});

describe("schemas", () => {
  const names = Object.keys(ours.definitions).filter((name) => !(name in OTHER_DEFINITIONS));
  it.each(names)("%s is upstream's", (name) => {
    expect(withoutTexts(ours.definitions[name])).toEqual(withoutTexts(oracle.definitions[name]));
  });
});

/** What of an operation must be alike: the name of it, what goes in and out, parameters wherever they stand. */
function essence(document: Swagger, path: string, method: string): Json {
  const item = document.paths[path] ?? {};
  const operation = item[method] as Json;
  const parameters = [
    ...((item["parameters"] ?? []) as unknown as Json[]),
    ...((operation["parameters"] ?? []) as Json[]),
  ]
    .map((parameter) => resolved(document, parameter))
    .filter(({ name }) => !(String(name) in NOT_DESCRIBED_PARAMETERS))
    .map((parameter): Json => ({ ...parameter, description: "" }))
    .sort((a, b) => (`${String(a["in"])}${String(a["name"])}` < `${String(b["in"])}${String(b["name"])}` ? -1 : 1));
  const { tags, operationId, description, responses } = operation;
  return {
    tags,
    operationId,
    description,
    parameters,
    responses,
    action: operation["x-kubernetes-action"],
    kind: operation["x-kubernetes-group-version-kind"],
  };
}

function resolved(document: Swagger, parameter: Json): Json {
  const { $ref } = parameter;
  return typeof $ref === "string" ? (document.parameters[$ref.replace("#/parameters/", "")] as Json) : parameter;
}

/** Structure only: texts are held elsewhere, unions are read by no client, and granular is what a map is by default. */
function withoutTexts(schema: unknown): unknown {
  if (Array.isArray(schema))
    return schema.every((item) => typeof item === "string") ? schema.toSorted() : schema.map(withoutTexts);
  if (typeof schema !== "object" || schema === null) return schema;
  const members = Object.entries(schema as Json)
    .filter(([key, value]) => !(key === "description" && typeof value === "string"))
    .filter(([key, value]) => key !== "x-kubernetes-unions" && value !== "granular")
    .map(([key, value]) => [key, withoutTexts(value)]);
  return Object.fromEntries(members);
}
