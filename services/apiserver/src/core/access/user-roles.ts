/**
 * What users get to be bound to: admin, edit and view. Their rights stand in the roles `system:aggregate-to-…`; each of the three
 * gathers the roles that are labelled for it, so that whoever brings new kinds adds to them by a label.
 */
import type { ClusterRole, PolicyRule } from "@pilothouse/api/types/rbac-v1";
import { READ, rule, WRITE } from "./policy-rule.ts";

const CORE_READ = [
  "configmaps",
  "endpoints",
  "persistentvolumeclaims",
  "persistentvolumeclaims/status",
  "pods",
  "replicationcontrollers",
  "replicationcontrollers/scale",
  "serviceaccounts",
  "services",
  "services/status",
  "bindings",
  "events",
  "limitranges",
  "namespaces/status",
  "pods/log",
  "pods/status",
  "replicationcontrollers/status",
  "resourcequotas",
  "resourcequotas/status",
  "namespaces",
];
/** Endpoints are not among them: who writes those sends others' traffic where they like (CVE-2021-25740). */
const CORE_WRITE = [
  "configmaps",
  "events",
  "persistentvolumeclaims",
  "pods",
  "replicationcontrollers",
  "replicationcontrollers/scale",
  "secrets",
  "serviceaccounts",
  "services",
];
const APPS = [
  "daemonsets",
  "deployments",
  "deployments/scale",
  "replicasets",
  "replicasets/scale",
  "statefulsets",
  "statefulsets/scale",
];
const APPS_STATUS = ["daemonsets/status", "deployments/status", "replicasets/status", "statefulsets/status"];
const INTO_PODS = ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy"];

const VIEW: readonly PolicyRule[] = [
  rule(READ, [""], CORE_READ),
  rule(READ, ["discovery.k8s.io"], ["endpointslices"]),
  rule(READ, ["apps"], ["controllerrevisions", ...APPS, ...APPS_STATUS]),
  rule(READ, ["autoscaling"], ["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
  rule(READ, ["batch"], ["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
  rule(READ, ["policy"], ["poddisruptionbudgets", "poddisruptionbudgets/status"]),
  rule(READ, ["networking.k8s.io"], ["ingresses", "ingresses/status", "networkpolicies"]),
  rule(READ, ["resource.k8s.io"], ["resourceclaims", "resourceclaims/status", "resourceclaimtemplates"]),
];

const EDIT: readonly PolicyRule[] = [
  rule(READ, [""], [...INTO_PODS, "secrets", "services/proxy"]),
  rule(["impersonate"], [""], ["serviceaccounts"]),
  rule(WRITE, [""], [...INTO_PODS, "services/proxy"]),
  rule(["create"], [""], ["pods/eviction", "serviceaccounts/token"]),
  rule(WRITE, [""], CORE_WRITE),
  rule(WRITE, ["apps"], [...APPS, "deployments/rollback"]),
  rule(WRITE, ["autoscaling"], ["horizontalpodautoscalers"]),
  rule(WRITE, ["batch"], ["cronjobs", "jobs"]),
  rule(WRITE, ["policy"], ["poddisruptionbudgets"]),
  rule(WRITE, ["networking.k8s.io"], ["ingresses", "networkpolicies"]),
  rule(WRITE, ["resource.k8s.io"], ["resourceclaims", "resourceclaimtemplates"]),
  rule([...READ, ...WRITE], ["coordination.k8s.io"], ["leases"]),
];

const ADMIN: readonly PolicyRule[] = [
  rule(["create"], ["authorization.k8s.io"], ["localsubjectaccessreviews"]),
  rule([...READ, ...WRITE], ["rbac.authorization.k8s.io"], ["rolebindings", "roles"]),
];

export interface UserRole {
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly aggregationRule?: NonNullable<ClusterRole["aggregationRule"]>;
}

/** The rules of the three are gathered by a controller; until it runs they are what it would gather here. */
export const USER_ROLES: readonly UserRole[] = [
  { name: "admin", rules: [...ADMIN, ...EDIT, ...VIEW], aggregationRule: gathers("admin") },
  { name: "edit", rules: [...EDIT, ...VIEW], labels: partOf("admin"), aggregationRule: gathers("edit") },
  { name: "view", rules: VIEW, labels: partOf("edit"), aggregationRule: gathers("view") },
  { name: "system:aggregate-to-admin", rules: ADMIN, labels: partOf("admin") },
  { name: "system:aggregate-to-edit", rules: EDIT, labels: partOf("edit") },
  { name: "system:aggregate-to-view", rules: VIEW, labels: partOf("view") },
];

function partOf(role: string): Record<string, string> {
  return { [`rbac.authorization.k8s.io/aggregate-to-${role}`]: "true" };
}

function gathers(role: string): NonNullable<ClusterRole["aggregationRule"]> {
  return { clusterRoleSelectors: [{ matchLabels: partOf(role) }] };
}
