import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import { AGE, shown } from "../columns.ts";
import { firstErrors, invalid } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { base64Bytes, immutableRules, keyRules, sizeRules, textBytes } from "./data.ts";

export const configMap: KindDefinition<ConfigMap> = {
  group: "",
  version: "v1",
  kind: "ConfigMap",
  resource: "configmaps",
  singular: "configmap",
  shortNames: ["cm"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  validate: (configMap) => firstErrors(rules(configMap)),
  validateUpdate: (configMap, old) => firstErrors(immutableRules(configMap, old)),
  columns: [
    shown("Data", ({ data, binaryData }) => countKeys(data) + countKeys(binaryData), "How many keys it has."),
    AGE,
  ],
  ageColumn: false,
};

function* rules({ data, binaryData }: ConfigMap): FieldErrors {
  yield* keyRules(data, "data");
  for (const key of Object.keys(binaryData ? (data ?? {}) : {})) {
    if (binaryData && key in binaryData) yield invalid(`data[${key}]`, key, "duplicate of key present in binaryData");
  }
  yield* keyRules(binaryData, "binaryData");
  yield* sizeRules("", textBytes(data) + base64Bytes(binaryData));
}

function countKeys(data: object | undefined): number {
  return Object.keys(data ?? {}).length;
}
