/**
 * Who owns the claims of a StatefulSet's pods, and so what they go with: `persistentVolumeClaimRetentionPolicy`. Pure.
 *
 * whenDeleted: Delete makes the set the owner of what it wants; whenScaled: Delete makes a pod that is not wanted any more the
 * owner of its own. Where both say Retain nobody of ours owns anything. Claims that somebody else controls are left alone.
 */
import type { StatefulSet } from "@pilothouse/api/types/apps-v1";
import type { PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { OwnerReference } from "@pilothouse/api/types/meta-v1";
import { controllerReference, type Controller } from "../../core/ownership.ts";
import { isWanted } from "./plan-identity.ts";

/** The owners that the claim should have; undefined when it has them, or is not ours to touch. */
export function ownersToBe(
  set: StatefulSet,
  ordinal: number,
  pod: Pod,
  { metadata }: PersistentVolumeClaim,
): OwnerReference[] | undefined {
  const family = familyOf(set, pod);
  const owners = metadata.ownerReferences ?? [];
  if (family.some((owner) => hasFormer(owners, owner))) return undefined;
  const others = owners.filter((reference) => !family.some((owner) => isNamed(reference, owner)));
  const isTaken = others.some(({ controller }) => controller === true);
  const wanted = isTaken ? undefined : ownerToBe(set, ordinal, family);
  const toBe = [...others, ...(wanted ? [controllerReference(wanted)] : [])];
  return sameOwners(owners, toBe) ? undefined : toBe;
}

/** The claim goes with a former pod of this name: a new one must wait for a new claim. */
export function goesWithFormerPod(podName: string, pod: Pod | undefined, { metadata }: PersistentVolumeClaim): boolean {
  return (metadata.ownerReferences ?? []).some(
    ({ apiVersion, kind, name, uid }) =>
      apiVersion === "v1" && kind === "Pod" && name === podName && uid !== pod?.metadata.uid,
  );
}

function ownerToBe(
  set: StatefulSet,
  ordinal: number,
  [ofSet, ofPod]: readonly [Controller, Controller],
): Controller | undefined {
  const { whenDeleted, whenScaled } = set.spec.persistentVolumeClaimRetentionPolicy ?? {};
  if (whenScaled === "Delete" && !isWanted(set, ordinal)) return ofPod;
  return whenDeleted === "Delete" ? ofSet : undefined;
}

function familyOf(set: StatefulSet, pod: Pod): readonly [Controller, Controller] {
  return [
    { ...set, apiVersion: "apps/v1", kind: "StatefulSet" },
    { ...pod, apiVersion: "v1", kind: "Pod" },
  ];
}

function isNamed(reference: OwnerReference, { apiVersion, kind, metadata }: Controller): boolean {
  return reference.apiVersion === apiVersion && reference.kind === kind && reference.name === metadata.name;
}

/** One of the same name that is no more: the garbage collector's to settle. */
function hasFormer(references: readonly OwnerReference[], owner: Controller): boolean {
  return references.some((reference) => isNamed(reference, owner) && reference.uid !== owner.metadata.uid);
}

function sameOwners(a: readonly OwnerReference[], b: readonly OwnerReference[]): boolean {
  const keys = (references: readonly OwnerReference[]): string =>
    references
      .map(({ uid, controller }) => `${uid} ${controller === true}`)
      .sort()
      .join();
  return keys(a) === keys(b);
}
