/** What the four kinds of RBAC share. */
import type { AggregationRule, PolicyRule, RoleRef, Subject } from "@pilothouse/api/types/rbac-v1";
import { checkDns1123Label, checkPathSegment } from "@pilothouse/selectors/names";
import { immutable, invalid, invalidEach, notSupported, required } from "../field-errors.ts";
import { labelSelectorRules } from "../meta.ts";
import { subdomainName } from "../names.ts";
import type { FieldErrors } from "../field-errors.ts";

const RBAC_GROUP = "rbac.authorization.k8s.io";

/** A rule speaks of resources or of URLs, never of both; URLs belong to the whole cluster. */
export function* policyRules(rules: readonly PolicyRule[] | undefined, namespaced: boolean): FieldErrors {
  for (const [index, rule] of (rules ?? []).entries()) {
    const path = `rules[${index}]`;
    const { verbs, apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule;
    if ((verbs ?? []).length === 0) yield required(`${path}.verbs`, "verbs must contain at least one value");
    if (nonResourceURLs.length > 0) {
      const field = `${path}.nonResourceURLs`;
      if (namespaced) yield invalid(field, nonResourceURLs, "namespaced rules cannot apply to non-resource URLs");
      if (apiGroups.length > 0 || resources.length > 0 || resourceNames.length > 0) {
        yield invalid(field, nonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs");
      }
      continue;
    }
    if (apiGroups.length === 0) {
      yield required(`${path}.apiGroups`, "resource rules must supply at least one api group");
    }
    if (resources.length === 0) yield required(`${path}.resources`, "resource rules must supply at least one resource");
  }
}

export function* aggregationRules(aggregation: AggregationRule | undefined): FieldErrors {
  if (!aggregation) return;
  const path = "aggregationRule.clusterRoleSelectors";
  const selectors = aggregation.clusterRoleSelectors ?? [];
  if (selectors.length === 0) {
    yield required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
  }
  for (const [index, selector] of selectors.entries()) yield* labelSelectorRules(selector, `${path}[${index}]`);
}

export function defaultRoleRef(binding: { roleRef: RoleRef }): void {
  binding.roleRef ??= { apiGroup: "", kind: "", name: "" };
  binding.roleRef.apiGroup ||= RBAC_GROUP;
}

export function defaultSubjects(subjects: readonly Subject[] | undefined): void {
  for (const subject of subjects ?? []) {
    if (subject.kind === "User" || subject.kind === "Group") subject.apiGroup ||= RBAC_GROUP;
  }
}

export function* roleRefRules(roleRef: RoleRef, kinds: readonly string[]): FieldErrors {
  if (roleRef.apiGroup !== RBAC_GROUP) yield notSupported("roleRef.apiGroup", roleRef.apiGroup, [RBAC_GROUP]);
  if (!kinds.includes(roleRef.kind)) yield notSupported("roleRef.kind", roleRef.kind, kinds);
  if (!roleRef.name) yield required("roleRef.name");
  else yield* invalidEach("roleRef.name", roleRef.name, checkPathSegment(roleRef.name));
}

/** `needsNamespace`: a cluster-wide binding cannot tell where a service account lives. */
export function* subjectRules(subjects: readonly Subject[] | undefined, needsNamespace: boolean): FieldErrors {
  for (const [index, subject] of (subjects ?? []).entries()) {
    const path = `subjects[${index}]`;
    if (!subject.name) yield required(`${path}.name`);
    switch (subject.kind) {
      case "ServiceAccount":
        if (subject.name) yield* invalidEach(`${path}.name`, subject.name, subdomainName(subject.name, false));
        if (subject.apiGroup) yield notSupported(`${path}.apiGroup`, subject.apiGroup, [""]);
        if (subject.namespace) {
          yield* invalidEach(`${path}.namespace`, subject.namespace, checkDns1123Label(subject.namespace));
        } else if (needsNamespace) yield required(`${path}.namespace`);
        break;
      case "User":
      case "Group":
        if (subject.apiGroup !== RBAC_GROUP) yield notSupported(`${path}.apiGroup`, subject.apiGroup, [RBAC_GROUP]);
        break;
      default:
        yield notSupported(`${path}.kind`, subject.kind, ["ServiceAccount", "User", "Group"]);
    }
  }
}

export function* roleRefImmutable(roleRef: RoleRef, old: RoleRef): FieldErrors {
  for (const error of immutable("roleRef", roleRef, old)) yield { ...error, detail: "cannot change roleRef" };
}

export function subjectNames(subjects: readonly Subject[] | undefined, kind: string): string {
  return (subjects ?? [])
    .filter((subject) => subject.kind === kind)
    .map(({ name, namespace }) => (kind === "ServiceAccount" ? `${namespace ?? ""}/${name}` : name))
    .join(", ");
}
