import type { ClusterRole } from "@pilothouse/api/types/rbac-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

export const clusterRole: KindDefinition<ClusterRole> = {
  group: "rbac.authorization.k8s.io",
  version: "v1",
  kind: "ClusterRole",
  resource: "clusterroles",
  singular: "clusterrole",
  shortNames: [],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
};
