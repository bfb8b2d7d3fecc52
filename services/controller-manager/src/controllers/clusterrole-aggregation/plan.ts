/** The rules of a ClusterRole that gathers others': those of every role that its selectors find. Pure. */
import type { ClusterRole, PolicyRule } from "@pilothouse/api/types/rbac-v1";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";

export function isAggregated({ aggregationRule }: ClusterRole): boolean {
  return aggregationRule !== undefined;
}

/**
 * The rules that the role should have: selector by selector, each one's roles by name, no rule twice. Undefined: it has them, or
 * gathers nothing.
 */
export function rulesWanted(role: ClusterRole, all: readonly ClusterRole[]): readonly PolicyRule[] | undefined {
  if (!role.aggregationRule) return undefined;
  const byName = all.toSorted((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
  const rules: PolicyRule[] = [];
  for (const selector of role.aggregationRule.clusterRoleSelectors ?? []) {
    const wanted = labelSelectorOf(selector);
    for (const other of byName) {
      if (other.metadata.name === role.metadata.name) continue;
      if (!matchesLabels(wanted, other.metadata.labels ?? {})) continue;
      for (const rule of other.rules ?? []) if (!rules.some((had) => sameValue(had, rule))) rules.push(rule);
    }
  }
  return sameValue(rules, role.rules ?? []) ? undefined : rules;
}
