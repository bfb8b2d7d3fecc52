import { FITS, defaultNormalize, unresolvable, type Plugin } from "../../core/framework.ts";
import { matchesRequiredAffinity, matchesTerm } from "@pilothouse/kinds/core/node-selector";

export const AFFINITY_REASON = "node(s) didn't match Pod's node affinity/selector";

/** `spec.nodeSelector` and required node affinity; preferred terms add their weights to the score. */
export const nodeAffinity: Plugin<void> = {
  name: "NodeAffinity",
  weight: 2,
  undoneBy: ["NodeAdded", "NodeChanged"],
  prepare: () => {},
  filter: (pod, { node }) => (matchesRequiredAffinity(pod, node) ? FITS : unresolvable(AFFINITY_REASON)),
  score(pod, { node }) {
    const preferred = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    return preferred
      .filter(({ preference }) => matchesTerm(preference, node))
      .reduce((sum, { weight }) => sum + weight, 0);
  },
  normalize: (scores) => defaultNormalize(scores, false),
};
