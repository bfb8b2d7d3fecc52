import { firstErrors } from "../field-errors.ts";
import type { ClusterRole } from "@pilothouse/api/types/rbac-v1";
import { CREATED_AT } from "../columns.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { pathSegmentName } from "../names.ts";
import { aggregationRules, policyRules } from "./rules.ts";

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
  validateName: pathSegmentName,
  validate: ({ rules, aggregationRule }) => firstErrors(policyRules(rules, false), aggregationRules(aggregationRule)),
  columns: [CREATED_AT],
  ageColumn: false,
};
