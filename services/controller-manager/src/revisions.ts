/** Carrying out what `planRevision` decides. */
import type { ControllerRevision } from "@pilothouse/api/types/apps-v1";
import { isStatus } from "@pilothouse/errors";
import type { Informers } from "./informers.ts";
import { controllerOf, isControlledBy } from "./core/ownership.ts";
import { newRevision, sameContents, type RevisionOwner, type RevisionPlan } from "./core/revisions.ts";
import type { Cause, Executor } from "./executor.ts";

export interface RevisionPorts {
  readonly executor: Executor;
  readonly informers: Pick<Informers, "controllerRevisions">;
  readonly cause: Cause;
}

export interface CurrentRevision {
  readonly revision: ControllerRevision;
  readonly collisionCount: number;
}

/** Makes the revision of the owner's template be there as the newest. */
export async function establishRevision(
  { executor, informers, cause }: RevisionPorts,
  owner: RevisionOwner,
  { current }: RevisionPlan,
  naming: { readonly collisionCount: number; readonly hashLabel: string },
): Promise<CurrentRevision> {
  const { controllerRevisions } = informers;
  let { collisionCount } = naming;
  if (current.is === "newest") return { revision: current.revision, collisionCount };
  if (current.is === "rolled back to") {
    const raised = { ...current.revision, revision: current.number };
    return { revision: await executor.update(controllerRevisions, raised, cause), collisionCount };
  }
  for (; ; collisionCount++) {
    const wanted = newRevision({ ...naming, owner, revision: current.number, collisionCount });
    try {
      return { revision: await executor.create(controllerRevisions, wanted, cause), collisionCount };
    } catch (error) {
      if (!isStatus(error, "AlreadyExists")) throw error;
    }
    const { namespace = "", name = "" } = wanted.metadata;
    const existing = await executor.read(controllerRevisions.type, namespace, name, cause);
    const isOurs = existing && (isControlledBy(existing, owner) || !controllerOf(existing));
    if (isOurs && sameContents(existing, wanted)) {
      cause.ownWrites.wrote(cause.key, controllerRevisions, existing);
      return { revision: existing, collisionCount };
    }
  }
}
