import { FITS, unresolvable, type Plugin } from "../../core/framework.ts";

export const NODE_NAME_REASON = "node(s) didn't match the requested node name";

/** A pod that names its node fits nowhere else. */
export const nodeName: Plugin<void> = {
  name: "NodeName",
  undoneBy: { "node added": (pod, { node }) => pod.spec.nodeName === node.metadata.name },
  prepare: () => {},
  filter: (pod, node) =>
    !pod.spec.nodeName || pod.spec.nodeName === node.name ? FITS : unresolvable(NODE_NAME_REASON),
};
