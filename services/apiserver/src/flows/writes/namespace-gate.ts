/** Creates in a namespace: it must exist and not be dying, and still be as admission saw it when the write happens (C13). */
import { forbidden, notFound, StatusError } from "@pilothouse/errors";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import { storeKey, type WriteCause } from "../../core/model.ts";
import { known } from "../../registry/known.ts";
import type { CachedObjects } from "../reads/cached.ts";

const NAMESPACES = known.namespaces.kind;

/** What the create's transaction must compare. Throws 404 or 403 as NamespaceLifecycle does. */
export async function admitIntoNamespace(
  cached: CachedObjects,
  kind: KindDefinition,
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<WriteCause["namespaceRevision"]> {
  if (!kind.namespaced) return undefined;
  return cached.judge(() => {
    const entry = cached.cache.get(NAMESPACES, "", namespace);
    if (!entry) throw notFound(NAMESPACES, namespace);
    if (entry.deleting) throw beingTerminated(kind, namespace, name);
    return { key: storeKey(NAMESPACES, "", namespace), modRevision: entry.revision };
  }, signal);
}

/** 403 with the cause that event recorders and controllers look for (wire trap 48). */
function beingTerminated(kind: KindDefinition, namespace: string, name: string): StatusError {
  const { status } = forbidden(
    kind,
    name,
    `unable to create new content in namespace ${namespace} because it is being terminated`,
  );
  const cause = {
    reason: "NamespaceTerminating",
    message: `namespace ${namespace} is being terminated`,
    field: "metadata.namespace",
  };
  return new StatusError(403, "Forbidden", status.message ?? "", { ...status.details, causes: [cause] });
}
