import type { ClusterRoleBinding } from "@pilothouse/api/types/rbac-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

export const clusterRoleBinding: KindDefinition<ClusterRoleBinding> = {
  group: "rbac.authorization.k8s.io",
  version: "v1",
  kind: "ClusterRoleBinding",
  resource: "clusterrolebindings",
  singular: "clusterrolebinding",
  shortNames: [],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
};
