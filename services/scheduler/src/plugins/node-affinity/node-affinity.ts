import type { Node, NodeSelectorRequirement, NodeSelectorTerm } from "@pilothouse/api/types/core-v1";
import { FITS, defaultNormalize, unresolvable, type Obstacle, type Plugin } from "../../core/framework.ts";
import { matchesRequiredAffinity, matchesTerm } from "@pilothouse/kinds/core/node-selector";

export const AFFINITY_REASON = "node(s) didn't match Pod's node affinity/selector";

/** `spec.nodeSelector` and required node affinity; preferred terms add their weights to the score. */
export const nodeAffinity: Plugin<void> = {
  name: "NodeAffinity",
  weight: 2,
  undoneBy: {
    "node added": (pod, { node }) => matchesRequiredAffinity(pod, node),
    "node changed": (pod, { before, node }) =>
      matchesRequiredAffinity(pod, node) && !matchesRequiredAffinity(pod, before),
  },
  prepare: () => {},
  filter: (pod, { node }) => (matchesRequiredAffinity(pod, node) ? FITS : unresolvable(AFFINITY_REASON)),
  explain(pod, { node }) {
    const { labels: has = {} } = node.metadata;
    const missing = Object.entries(pod.spec.nodeSelector ?? {}).filter(([key, value]) => has[key] !== value);
    const selected = missing.map(([key, value]) => ({
      detail: `nodeSelector wants ${key}=${value}, the node has ${key in has ? `${key}=${has[key] ?? ""}` : "no such label"}`,
      remedy: { do: "label node", labels: Object.fromEntries(missing) } as const,
    }));
    const terms =
      pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
    if (terms.length === 0 || terms.some((term) => matchesTerm(term, node))) return selected;
    return [
      ...selected,
      { detail: `node affinity wants ${terms.map(termText).join(" or ")}`, ...labelling(terms, node) },
    ];
  },
  score(pod, { node }) {
    const preferred = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    return preferred
      .filter(({ preference }) => matchesTerm(preference, node))
      .reduce((sum, { weight }) => sum + weight, 0);
  },
  normalize: (scores) => defaultNormalize(scores, false),
};

function termText({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm): string {
  return [...matchExpressions, ...matchFields].map(requirementText).join(" and ");
}

function requirementText({ key, operator, values = [] }: NodeSelectorRequirement): string {
  return values.length === 0 ? `${key} ${operator}` : `${key} ${operator} (${values.join(", ")})`;
}

/** Labels help where one term wants nothing but certain values, or that there be some. */
function labelling(terms: readonly NodeSelectorTerm[], node: Node): Pick<Obstacle, "remedy"> {
  const helpful = terms.find(
    ({ matchExpressions = [], matchFields = [] }) =>
      matchFields.length === 0 &&
      matchExpressions.length > 0 &&
      matchExpressions.every(({ operator }) => operator === "In" || operator === "Exists"),
  );
  const missing = (helpful?.matchExpressions ?? []).filter((one) => !matchesTerm({ matchExpressions: [one] }, node));
  if (missing.length === 0) return { remedy: { do: "change the pod", field: "affinity.nodeAffinity" } };
  const labels = Object.fromEntries(missing.map(({ key, values }) => [key, values?.[0] ?? ""]));
  return { remedy: { do: "label node", labels } };
}
