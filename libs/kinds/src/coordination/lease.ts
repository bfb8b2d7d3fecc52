import type { Lease } from "@pilothouse/api/types/coordination-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

export const lease: KindDefinition<Lease> = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  resource: "leases",
  singular: "lease",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
};
