/** Who controls what: controller references, and which objects a controller takes over or lets go. Pure. */
import type { OwnerReference } from "@pilothouse/api/types/meta-v1";
import type { KubernetesObject } from "@pilothouse/client";
import { matchesLabels, type LabelSelector } from "@pilothouse/selectors";

export interface Controller extends KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
}

export function controllerOf({ metadata }: KubernetesObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true);
}

export function isControlledBy(object: KubernetesObject, owner: KubernetesObject): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid;
}

export function controllerReference({ apiVersion, kind, metadata }: Controller): OwnerReference {
  const { name = "", uid = "" } = metadata;
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true };
}

export interface Claims<T> {
  /** Controlled already, and selected. */
  readonly owned: readonly T[];
  /** Selected, and controlled by nobody. */
  readonly adopt: readonly T[];
  /** Controlled, but no longer selected. */
  readonly release: readonly T[];
}

/** Upstream's rules of ControllerRefManager. `adoptable` excludes, for example, pods that have ended. */
export function claim<T extends KubernetesObject>(
  owner: KubernetesObject,
  selector: LabelSelector,
  objects: readonly T[],
  adoptable: (object: T) => boolean = () => true,
): Claims<T> {
  const owned: T[] = [];
  const adopt: T[] = [];
  const release: T[] = [];
  const ownerIsLeaving = owner.metadata.deletionTimestamp !== undefined;
  for (const object of objects) {
    const controller = controllerOf(object);
    const selected = matchesLabels(selector, object.metadata.labels);
    const leaving = object.metadata.deletionTimestamp !== undefined;
    if (controller) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (selected) owned.push(object);
      else if (!ownerIsLeaving && !leaving) release.push(object);
    } else if (selected && !ownerIsLeaving && !leaving && adoptable(object)) adopt.push(object);
  }
  return { owned, adopt, release };
}
