import type { Pod } from "@pilothouse/api/types/core-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { STATUS } from "../subresources.ts";

export const pod: KindDefinition<Pod> = {
  group: "",
  version: "v1",
  kind: "Pod",
  resource: "pods",
  singular: "pod",
  shortNames: ["po"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [
    STATUS,
    { name: "binding", verbs: ["create"], kind: "Binding" },
    { name: "eviction", verbs: ["create"], group: "policy", version: "v1", kind: "Eviction" },
    { name: "log", verbs: ["get"] },
    { name: "exec", verbs: ["create", "get"], kind: "PodExecOptions" },
    { name: "attach", verbs: ["create", "get"], kind: "PodAttachOptions" },
    { name: "portforward", verbs: ["create", "get"], kind: "PodPortForwardOptions" },
  ],
  depth: "full",
};
