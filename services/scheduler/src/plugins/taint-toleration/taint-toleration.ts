import type { Node, Pod, Taint } from "@pilothouse/api/types/core-v1";
import { tolerates } from "@pilothouse/kinds/core/tolerations";
import { FITS, defaultNormalize, unresolvable, type Plugin } from "../../core/framework.ts";

/** `node(s) had untolerated taint {key: value}`, as upstream prints a taint. */
export function taintReason(taint: Taint): string {
  return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`;
}

/** NoSchedule and NoExecute taints keep pods away; PreferNoSchedule ones cost score. */
export const taintToleration: Plugin<void> = {
  name: "TaintToleration",
  weight: 3,
  undoneBy: {
    "node added": (pod, { node }) => untoleratedTaints(pod, node).length === 0,
    "node changed": (pod, { before, node }) =>
      untoleratedTaints(pod, node).length === 0 && untoleratedTaints(pod, before).length > 0,
  },
  prepare: () => {},
  filter(pod, { node }) {
    const [untolerated] = untoleratedTaints(pod, node);
    return untolerated ? unresolvable(taintReason(untolerated)) : FITS;
  },
  explain: (pod, { node }) =>
    untoleratedTaints(pod, node).map((taint) => ({
      detail: `${taintReason(taint)}:${taint.effect}`,
      remedy: { do: "remove taint", taint },
    })),
  score(pod, { node }) {
    const soft = (node.spec.taints ?? []).filter(({ effect }) => effect === "PreferNoSchedule");
    return soft.filter((taint) => !tolerates(pod.spec.tolerations, taint)).length;
  },
  normalize: (scores) => defaultNormalize(scores, true),
};

function untoleratedTaints(pod: Pod, node: Node): readonly Taint[] {
  return (node.spec.taints ?? []).filter(
    (taint) =>
      (taint.effect === "NoSchedule" || taint.effect === "NoExecute") && !tolerates(pod.spec.tolerations, taint),
  );
}
