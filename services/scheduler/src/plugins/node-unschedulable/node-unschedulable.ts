import { tolerates } from "@pilothouse/kinds/core/tolerations";
import { FITS, unresolvable, type Plugin } from "../../core/framework.ts";

export const UNSCHEDULABLE_REASON = "node(s) were unschedulable";
const UNSCHEDULABLE_TAINT = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/** A cordoned node takes only pods that tolerate the taint that stands for it. */
export const nodeUnschedulable: Plugin<void> = {
  name: "NodeUnschedulable",
  undoneBy: ["NodeAdded", "NodeChanged"],
  prepare: () => {},
  filter(pod, { node }) {
    if (!node.spec.unschedulable || tolerates(pod.spec.tolerations, UNSCHEDULABLE_TAINT)) return FITS;
    return unresolvable(UNSCHEDULABLE_REASON);
  },
  explain: () => [{ detail: `${UNSCHEDULABLE_REASON}: it is cordoned`, remedy: { do: "uncordon" } }],
};
