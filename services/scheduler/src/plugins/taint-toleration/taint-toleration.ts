import type { Taint } from "@pilothouse/api/types/core-v1";
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
  undoneBy: ["NodeAdded", "NodeChanged"],
  prepare: () => {},
  filter(pod, { node }) {
    const hard = (node.spec.taints ?? []).filter(({ effect }) => effect === "NoSchedule" || effect === "NoExecute");
    const untolerated = hard.find((taint) => !tolerates(pod.spec.tolerations, taint));
    return untolerated ? unresolvable(taintReason(untolerated)) : FITS;
  },
  score(pod, { node }) {
    const soft = (node.spec.taints ?? []).filter(({ effect }) => effect === "PreferNoSchedule");
    return soft.filter((taint) => !tolerates(pod.spec.tolerations, taint)).length;
  },
  normalize: (scores) => defaultNormalize(scores, true),
};
