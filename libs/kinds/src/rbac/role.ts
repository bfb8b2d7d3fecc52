import { firstErrors } from "../field-errors.ts";
import type { Role } from "@pilothouse/api/types/rbac-v1";
import { CREATED_AT } from "../columns.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { pathSegmentName } from "../names.ts";
import { policyRules } from "./rules.ts";

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
  validateName: pathSegmentName,
  validate: ({ rules }) => firstErrors(policyRules(rules, true)),
  columns: [CREATED_AT],
  ageColumn: false,
};
