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

/** Requests that are handed on as they are, with a path below it and by the methods HEAD and OPTIONS too. */
export function proxyOf(kind: "Node" | "Pod" | "Service"): SubresourceDefinition {
  return { name: "proxy", verbs: ["create", "delete", "get", "patch", "update"], kind: `${kind}ProxyOptions` };
}
