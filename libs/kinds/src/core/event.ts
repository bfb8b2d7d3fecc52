import type { Event } from "@pilothouse/api/types/core-v1";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

export const event: KindDefinition<Event> = {
  group: "",
  version: "v1",
  kind: "Event",
  resource: "events",
  singular: "event",
  shortNames: ["ev"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
};
