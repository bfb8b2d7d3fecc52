/** Which former revisions are forgotten. Pure. */
import type { ControllerRevision } from "@pilothouse/api/types/apps-v1";
import { inOrder } from "../../core/revisions.ts";

/** Those beyond the limit, the oldest first; what a pod is made of, or may be made of, does not count. A negative limit keeps all. */
export function surplusRevisions(
  revisions: readonly ControllerRevision[],
  live: readonly string[],
  limit: number,
): ControllerRevision[] {
  if (limit < 0) return [];
  const history = inOrder(revisions).filter(({ metadata }) => !live.includes(metadata.name ?? ""));
  return history.slice(0, Math.max(0, history.length - limit));
}
