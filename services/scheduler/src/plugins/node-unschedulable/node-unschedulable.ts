import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import { tolerates } from "@pilothouse/kinds/core/tolerations";
import { FITS, unresolvable, type Plugin } from "../../core/framework.ts";

export const UNSCHEDULABLE_REASON = "node(s) were unschedulable";
const UNSCHEDULABLE_TAINT = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/** A cordoned node takes only pods that tolerate the taint that stands for it. */
export const nodeUnschedulable: Plugin<void> = {
  name: "NodeUnschedulable",
  undoneBy: {
    "node added": (pod, { node }) => takes(node, pod),
    "node changed": (pod, { before, node }) => takes(node, pod) && !takes(before, pod),
  },
  prepare: () => {},
  filter: (pod, { node }) => (takes(node, pod) ? FITS : unresolvable(UNSCHEDULABLE_REASON)),
  explain: () => [{ detail: `${UNSCHEDULABLE_REASON}: it is cordoned`, remedy: { do: "uncordon" } }],
};

function takes({ spec }: Node, pod: Pod): boolean {
  return !spec.unschedulable || tolerates(pod.spec.tolerations, UNSCHEDULABLE_TAINT);
}
