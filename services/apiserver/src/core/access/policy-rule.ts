/** The words that rules of roles are made of. */
import type { PolicyRule } from "@pilothouse/api/types/rbac-v1";

export const READ: readonly string[] = ["get", "list", "watch"];
export const WRITE: readonly string[] = ["create", "delete", "deletecollection", "patch", "update"];

export function rule(verbs: readonly string[], apiGroups: readonly string[], resources: readonly string[]): PolicyRule {
  return { verbs: [...verbs], apiGroups: [...apiGroups], resources: [...resources] };
}
