/** Subresources that many kinds have. */
import type { SubresourceDefinition } from "./kind.ts";

export const STATUS: SubresourceDefinition = { name: "status", verbs: ["get", "patch", "update"] };

export const SCALE: SubresourceDefinition = {
  name: "scale",
  verbs: ["get", "patch", "update"],
  group: "autoscaling",
  version: "v1",
  kind: "Scale",
};
