/**
 * RBAC: who may do what. Deny by default; the evaluator sees roles and bindings through `RbacPolicy` and holds no state.
 */
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  RoleRef,
  Subject,
} from "@pilothouse/api/types/rbac-v1";
import { forbidden, type StatusError } from "@pilothouse/errors";
import type { RequestInfo, UserInfo } from "../model.ts";
import { SERVICE_ACCOUNT_PREFIX } from "./users.ts";

/** What is to be judged. For paths that are no resource `path` is set and the rest is "". */
export interface Attributes {
  readonly user: UserInfo;
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly path: string;
  readonly isResourceRequest: boolean;
}

/** Roles and bindings as they are known now. */
export interface RbacPolicy {
  clusterRoleBindings(): Iterable<ClusterRoleBinding>;
  roleBindings(namespace: string): Iterable<RoleBinding>;
  clusterRole(name: string): ClusterRole | undefined;
  role(namespace: string, name: string): Role | undefined;
}

export const MASTERS = "system:masters";

export function attributesOf(user: UserInfo, info: RequestInfo, path: string, name = info.name): Attributes {
  const { verb, group, resource, subresource, namespace, isResourceRequest } = info;
  return { user, verb, group, resource, subresource, namespace, name, path, isResourceRequest };
}

/** True when some rule that applies to the user allows it. */
export function isAllowed(attributes: Attributes, policy: RbacPolicy): boolean {
  if (attributes.user.groups.includes(MASTERS)) return true;
  for (const rule of rulesFor(attributes.user, attributes.namespace, policy)) if (allows(rule, attributes)) return true;
  return false;
}

/** Every rule that applies to the user in the namespace ("" = cluster scope), with doubles. */
export function* rulesFor(user: UserInfo, namespace: string, policy: RbacPolicy): Generator<PolicyRule> {
  for (const binding of policy.clusterRoleBindings()) {
    if (appliesTo(binding.subjects, user, "")) yield* rulesOf(binding.roleRef, "", policy);
  }
  if (namespace === "") return;
  for (const binding of policy.roleBindings(namespace)) {
    if (appliesTo(binding.subjects, user, namespace)) yield* rulesOf(binding.roleRef, namespace, policy);
  }
}

export function rulesOf(ref: RoleRef, namespace: string, policy: RbacPolicy): readonly PolicyRule[] {
  const role = ref.kind === "Role" ? policy.role(namespace, ref.name) : policy.clusterRole(ref.name);
  return role?.rules ?? [];
}

/** True when `rules` together allow everything that `wanted` allows (nobody grants more than they have). */
export function covers(rules: readonly PolicyRule[], wanted: PolicyRule): boolean {
  return singleRights(wanted).every((right) => rules.some((rule) => holds(rule, right)));
}

/** Upstream's 403. */
export function forbiddenError(attributes: Attributes, why = ""): StatusError {
  const text = forbiddenText(attributes);
  return forbidden(attributes, attributes.name, why === "" ? text : `${text}: ${why}`);
}

function forbiddenText({ user, verb, group, resource, subresource, namespace, path, isResourceRequest }: Attributes) {
  const who = `User ${JSON.stringify(user.name)} cannot ${verb}`;
  if (!isResourceRequest) return `${who} path ${JSON.stringify(path)}`;
  const what = subresource === "" ? resource : `${resource}/${subresource}`;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(namespace)}`;
  return `${who} resource ${JSON.stringify(what)} in API group ${JSON.stringify(group)} ${where}`;
}

function appliesTo(subjects: readonly Subject[] | undefined, user: UserInfo, bindingNamespace: string): boolean {
  return (subjects ?? []).some((subject) => {
    switch (subject.kind) {
      case "User":
        return subject.name === user.name;
      case "Group":
        return user.groups.includes(subject.name);
      case "ServiceAccount":
        return user.name === `${SERVICE_ACCOUNT_PREFIX}${subject.namespace || bindingNamespace}:${subject.name}`;
      default:
        return false;
    }
  });
}

function allows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!matches(rule.verbs, attributes.verb)) return false;
  if (!attributes.isResourceRequest) return (rule.nonResourceURLs ?? []).some((url) => urlHolds(url, attributes.path));
  return (
    matches(rule.apiGroups, attributes.group) &&
    resourceMatches(rule.resources ?? [], attributes.resource, attributes.subresource) &&
    nameMatches(rule.resourceNames, attributes.name)
  );
}

function matches(allowed: readonly string[] | undefined, asked: string): boolean {
  return (allowed ?? []).some((value) => value === "*" || value === asked);
}

/** `pods`, `pods/log`, `*\/scale` (any resource's scale) and `*` (everything). */
function resourceMatches(allowed: readonly string[], resource: string, subresource: string): boolean {
  const asked = subresource === "" ? resource : `${resource}/${subresource}`;
  return allowed.some(
    (value) => value === "*" || value === asked || (subresource !== "" && value === `*/${subresource}`),
  );
}

function nameMatches(names: readonly string[] | undefined, name: string): boolean {
  return !names || names.length === 0 || names.includes(name);
}

function urlHolds(allowed: string, path: string): boolean {
  return allowed === "*" || allowed === path || (allowed.endsWith("*") && path.startsWith(allowed.slice(0, -1)));
}

interface Right {
  readonly verb: string;
  readonly group?: string;
  readonly resource?: string;
  readonly resourceName?: string;
  readonly url?: string;
}

function singleRights(rule: PolicyRule): readonly Right[] {
  const rights: Right[] = [];
  for (const verb of rule.verbs) {
    for (const url of rule.nonResourceURLs ?? []) rights.push({ verb, url });
    for (const group of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const names = rule.resourceNames ?? [];
        if (names.length === 0) rights.push({ verb, group, resource });
        for (const resourceName of names) rights.push({ verb, group, resource, resourceName });
      }
    }
  }
  return rights;
}

function holds(rule: PolicyRule, right: Right): boolean {
  if (!matches(rule.verbs, right.verb)) return false;
  if (right.url !== undefined) return (rule.nonResourceURLs ?? []).some((url) => urlHolds(url, right.url as string));
  const [resource = "", subresource = ""] = (right.resource ?? "").split("/");
  if (!matches(rule.apiGroups, right.group ?? "")) return false;
  if (!resourceMatches(rule.resources ?? [], resource, subresource)) return false;
  const names = rule.resourceNames ?? [];
  return names.length === 0 || (right.resourceName !== undefined && names.includes(right.resourceName));
}
