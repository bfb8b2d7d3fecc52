import type { Deployment } from "@pilothouse/api/types/apps-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { SCALE, STATUS } from "../subresources.ts";

export const deployment: KindDefinition<Deployment> = {
  group: "apps",
  version: "v1",
  kind: "Deployment",
  resource: "deployments",
  singular: "deployment",
  shortNames: ["deploy"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS, SCALE],
  depth: "full",
};
