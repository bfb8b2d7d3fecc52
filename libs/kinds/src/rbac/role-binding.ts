import type { RoleBinding } from "@pilothouse/api/types/rbac-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

export const roleBinding: KindDefinition<RoleBinding> = {
  group: "rbac.authorization.k8s.io",
  version: "v1",
  kind: "RoleBinding",
  resource: "rolebindings",
  singular: "rolebinding",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
};
