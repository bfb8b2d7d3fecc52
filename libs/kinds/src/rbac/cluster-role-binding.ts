import { firstErrors } from "../field-errors.ts";
import type { ClusterRoleBinding } from "@pilothouse/api/types/rbac-v1";
import { AGE, shown, wide } from "../columns.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { pathSegmentName } from "../names.ts";
import {
  defaultRoleRef,
  defaultSubjects,
  roleRefImmutable,
  roleRefRules,
  subjectNames,
  subjectRules,
} from "./rules.ts";

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
  validateName: pathSegmentName,
  defaults: (binding) => {
    defaultRoleRef(binding);
    defaultSubjects(binding.subjects);
  },
  validate: ({ roleRef, subjects }) =>
    firstErrors(roleRefRules(roleRef, ["ClusterRole"]), subjectRules(subjects, true)),
  validateUpdate: ({ roleRef }, old) => firstErrors(roleRefImmutable(roleRef, old.roleRef)),
  columns: [
    shown("Role", ({ roleRef }) => `${roleRef.kind}/${roleRef.name}`, "The role that is granted."),
    AGE,
    wide("Users", ({ subjects }) => subjectNames(subjects, "User"), "Users in the binding."),
    wide("Groups", ({ subjects }) => subjectNames(subjects, "Group"), "Groups in the binding."),
    wide(
      "ServiceAccounts",
      ({ subjects }) => subjectNames(subjects, "ServiceAccount"),
      "Service accounts in the binding.",
    ),
  ],
  ageColumn: false,
};
