import type { Role } from "@pilothouse/api/types/rbac-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

export const role: KindDefinition<Role> = {
  group: "rbac.authorization.k8s.io",
  version: "v1",
  kind: "Role",
  resource: "roles",
  singular: "role",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
};
