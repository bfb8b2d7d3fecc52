import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

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
};
