import type { KindDefinition } from "@pilothouse/kinds/kind";
import { MASTERS } from "../../core/access/authorize.ts";
import type { RequestContext } from "../../core/model.ts";

/** A context for what the apiserver does by itself. */
export function internalContext(
  span: RequestContext["span"],
  kind: KindDefinition,
  namespace: string,
  name: string,
  signal: AbortSignal,
): RequestContext {
  return {
    request: {
      method: "",
      path: "",
      query: new URLSearchParams(),
      headers: {},
      body: new Uint8Array(),
      peer: { address: "" },
      signal,
    },
    info: {
      isResourceRequest: true,
      verb: "update",
      group: kind.group,
      version: kind.version,
      namespace,
      resource: kind.resource,
      subresource: "",
      name,
      rest: [],
    },
    user: { name: "system:apiserver", groups: [MASTERS] },
    span,
    kind,
    warn: () => {},
  };
}
