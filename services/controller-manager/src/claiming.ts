/** Carrying out what `claim` decides: taking objects over, and letting them go. */
import type { KubernetesObject } from "@pilothouse/client";
import { inParallel } from "@pilothouse/controller";
import type { Informer } from "@pilothouse/informer";
import { controllerReference, isControlledBy, type Controller } from "./core/ownership.ts";
import type { Cause, Executor } from "./executor.ts";

const PARALLEL_CLAIMS = 16;

export interface Claiming<T extends KubernetesObject> {
  readonly executor: Executor;
  readonly owner: Controller;
  readonly owners: Pick<Informer<KubernetesObject>, "type">;
  /** Of what is claimed. */
  readonly informer: Informer<T>;
  readonly cause: Cause;
}

/** Only an owner that is surely there and staying takes anything over: asked of the API, not of a cache (C13). */
export async function adopt<T extends KubernetesObject>(
  { executor, owner, owners, informer, cause }: Claiming<T>,
  objects: readonly T[],
): Promise<void> {
  if (objects.length === 0) return;
  const { namespace = "", name = "", uid } = owner.metadata;
  const fresh = await executor.read(owners.type, namespace, name, cause);
  if (fresh?.metadata.uid !== uid || fresh?.metadata.deletionTimestamp !== undefined) return;
  const reference = controllerReference(owner);
  await inParallel(objects, PARALLEL_CLAIMS, async (object) => {
    const { uid, resourceVersion, ownerReferences = [] } = object.metadata;
    const body = { metadata: { uid, resourceVersion, ownerReferences: [...ownerReferences, reference] } };
    await executor.patch(informer, object, body, cause);
  });
}

export async function release<T extends KubernetesObject>(
  { executor, owner, informer, cause }: Claiming<T>,
  objects: readonly T[],
): Promise<void> {
  await inParallel(objects, PARALLEL_CLAIMS, async (object) => {
    if (!isControlledBy(object, owner)) return;
    const { uid, resourceVersion, ownerReferences = [] } = object.metadata;
    const others = ownerReferences.filter((reference) => reference.uid !== owner.metadata.uid);
    const body = { metadata: { uid, resourceVersion, ownerReferences: others.length > 0 ? others : null } };
    await executor.patch(informer, object, body, cause);
  });
}
