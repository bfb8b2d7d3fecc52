import type { Endpoints } from "@pilothouse/api/types/core-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

export const endpoints: KindDefinition<Endpoints> = {
  group: "",
  version: "v1",
  kind: "Endpoints",
  resource: "endpoints",
  singular: "endpoints",
  shortNames: ["ep"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
};
