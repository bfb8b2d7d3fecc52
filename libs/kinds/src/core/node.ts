import type { Node } from "@pilothouse/api/types/core-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { STATUS } from "../subresources.ts";

export const node: KindDefinition<Node> = {
  group: "",
  version: "v1",
  kind: "Node",
  resource: "nodes",
  singular: "node",
  shortNames: ["no"],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
};
