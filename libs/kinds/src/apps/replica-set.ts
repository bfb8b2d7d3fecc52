import type { ReplicaSet } from "@pilothouse/api/types/apps-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { SCALE, STATUS } from "../subresources.ts";

export const replicaSet: KindDefinition<ReplicaSet> = {
  group: "apps",
  version: "v1",
  kind: "ReplicaSet",
  resource: "replicasets",
  singular: "replicaset",
  shortNames: ["rs"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS, SCALE],
  depth: "full",
};
