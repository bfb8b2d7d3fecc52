/** A new node takes no pods until somebody has seen that it is ready: the node-lifecycle controller takes the taint away. */
import type { Node } from "@pilothouse/api/types/core-v1";
import type { AdmissionPlugin } from "./admission.ts";

const NOT_READY = "node.kubernetes.io/not-ready";

export const taintNodesByCondition: AdmissionPlugin = {
  name: "TaintNodesByCondition",
  operations: ["CREATE"],
  resources: ["nodes"],
  admit(_deps, { object }) {
    const node = object as unknown as Node;
    const taints = node.spec.taints ?? [];
    if (taints.some(({ key, effect }) => key === NOT_READY && effect === "NoSchedule")) return;
    node.spec.taints = [...taints, { key: NOT_READY, effect: "NoSchedule" }];
  },
};
