import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

export const endpointSlice: KindDefinition<EndpointSlice> = {
  group: "discovery.k8s.io",
  version: "v1",
  kind: "EndpointSlice",
  resource: "endpointslices",
  singular: "endpointslice",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
};
