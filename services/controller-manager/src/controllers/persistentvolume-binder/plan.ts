/**
 * The next step of a claim, and of a volume, towards what they should be to each other. Each plan is at most one write: what was
 * written is looked at again, so that a controller that dies between two writes goes on where it was. The volume's word counts: first
 * it says whose it is, then the claim says so too. Pure; upstream's pv_controller.
 */
import type { PersistentVolume, PersistentVolumeClaim } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import { sameValue } from "@pilothouse/kinds/field-errors";
import {
  bestVolume,
  BIND_COMPLETED,
  BOUND_BY_CONTROLLER,
  claimed,
  classOf,
  isDelayed,
  isHeldBy,
  isMeantFor,
  mismatch,
  NO_PROVISIONER,
  OLD_PROVISIONER,
  PROVISIONED_BY,
  PROVISIONER,
} from "@pilothouse/kinds/core/volume-binding";

export interface Told {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export type Step =
  | { readonly do: "nothing"; readonly told?: Told }
  | { readonly do: "update claim"; readonly claim: PersistentVolumeClaim }
  | { readonly do: "update claim status"; readonly claim: PersistentVolumeClaim; readonly told?: Told }
  | { readonly do: "update volume"; readonly volume: PersistentVolume }
  | { readonly do: "update volume status"; readonly volume: PersistentVolume; readonly told?: Told };

const NOTHING: Step = { do: "nothing" };

/** @param named the volume of `spec.volumeName`; undefined where that is empty, or the API has none of that name */
export function planClaim(
  claim: PersistentVolumeClaim,
  named: PersistentVolume | undefined,
  volumes: readonly PersistentVolume[],
  storageClass: StorageClass | undefined,
): Step {
  if (!claim.spec?.volumeName) return planUnbound(claim, volumes, storageClass);
  if (!named) {
    if (!isComplete(claim)) return pending(claim);
    return lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
  }
  if (named.spec?.claimRef === undefined || (isMeantFor(named, claim) && !isHeldBy(named, claim))) {
    const why = mismatch(named, claim);
    if (why === undefined) return { do: "update volume", volume: claimed(named, claim) };
    return pending(claim, {
      type: "Warning",
      reason: "VolumeMismatch",
      message: `Cannot bind to requested volume "${named.metadata.name ?? ""}": ${why}`,
    });
  }
  if (!isHeldBy(named, claim)) {
    if (isComplete(claim)) {
      return lost(claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly");
    }
    const message = `volume "${named.metadata.name ?? ""}" already bound to a different claim.`;
    return pending(claim, { type: "Warning", reason: "FailedBinding", message });
  }
  return completed(claim, named);
}

function planUnbound(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  storageClass: StorageClass | undefined,
): Step {
  const held = volumes.find((volume) => isHeldBy(volume, claim));
  if (held) return { do: "update claim", claim: bound(claim, held) };
  const isMeant = volumes.some((volume) => isMeantFor(volume, claim));
  if (isDelayed(claim, storageClass) && !isMeant) {
    return pending(claim, {
      type: "Normal",
      reason: "WaitForFirstConsumer",
      message: "waiting for first consumer to be created before binding",
    });
  }
  const volume = bestVolume(claim, volumes);
  if (volume) return { do: "update volume", volume: claimed(volume, claim) };
  if (storageClass && storageClass.provisioner !== NO_PROVISIONER) return planProvisioning(claim, storageClass);
  return pending(claim, whatItWaitsFor(claim, storageClass));
}

/** Somebody outside makes the volume, once the claim says who: no provisioner touches a claim that does not name it. */
function planProvisioning(claim: PersistentVolumeClaim, { provisioner }: StorageClass): Step {
  const asked = { [PROVISIONER]: provisioner, [OLD_PROVISIONER]: provisioner };
  const annotations = { ...claim.metadata.annotations, ...asked };
  if (!sameValue(annotations, claim.metadata.annotations)) {
    return { do: "update claim", claim: { ...claim, metadata: { ...claim.metadata, annotations } } };
  }
  const message = `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`;
  return pending(claim, { type: "Normal", reason: "ExternalProvisioning", message });
}

function whatItWaitsFor(claim: PersistentVolumeClaim, storageClass: StorageClass | undefined): Told {
  if (storageClass) {
    const message = `no volume plugin matched name: ${storageClass.provisioner}`;
    return { type: "Warning", reason: "ProvisioningFailed", message };
  }
  if (classOf(claim) !== "") {
    const message = `storageclass.storage.k8s.io "${classOf(claim)}" not found`;
    return { type: "Warning", reason: "ProvisioningFailed", message };
  }
  const message = "no persistent volumes available for this claim and no storage class is set";
  return { type: "Normal", reason: "FailedBinding", message };
}

/** Both belong to each other; what is left to say of it. */
function completed(claim: PersistentVolumeClaim, volume: PersistentVolume): Step {
  if (volume.status?.phase !== "Bound") {
    return { do: "update volume status", volume: { ...volume, status: { ...volume.status, phase: "Bound" } } };
  }
  if (!isComplete(claim)) return { do: "update claim", claim: bound(claim, volume) };
  const status = {
    ...claim.status,
    phase: "Bound",
    accessModes: volume.spec?.accessModes ?? [],
    // What was bound once may have grown since: only who resizes changes it.
    capacity:
      claim.status?.phase === "Bound" && claim.status.capacity ? claim.status.capacity : { ...volume.spec?.capacity },
  };
  if (sameValue(status, claim.status)) return NOTHING;
  return { do: "update claim status", claim: { ...claim, status } };
}

/** @param claim the claim of `spec.claimRef`; undefined where there is none, or the API has none of that name */
export function planVolume(volume: PersistentVolume, claim: PersistentVolumeClaim | undefined): Step {
  const held = volume.spec?.claimRef;
  if (!held?.uid) return inPhase(volume, "Available");
  const isThere = claim !== undefined && claim.metadata.uid === held.uid;
  if (!isThere) return released(volume);
  const { volumeName } = claim.spec ?? {};
  if (!volumeName || volumeName === volume.metadata.name) return NOTHING;
  return { do: "update volume", volume: unclaimed(volume) };
}

/** Its claim is gone. Data is nobody's to delete but its provisioner's. */
function released(volume: PersistentVolume): Step {
  const policy = volume.spec?.persistentVolumeReclaimPolicy;
  if (volume.status?.phase === "Failed") return NOTHING;
  const isItsProvisioners = volume.metadata.annotations?.[PROVISIONED_BY] !== undefined;
  if (policy === "Retain" || isItsProvisioners || volume.spec?.csi || volume.status?.phase !== "Released") {
    return inPhase(volume, "Released");
  }
  const message = `error getting deleter volume plugin for volume "${volume.metadata.name ?? ""}": no deletable volume plugin matched`;
  const status = { ...volume.status, phase: "Failed", message };
  const told: Told = { type: "Warning", reason: "VolumeFailedDelete", message };
  return { do: "update volume status", volume: { ...volume, status }, told };
}

function inPhase(volume: PersistentVolume, phase: string): Step {
  if (volume.status?.phase === phase) return NOTHING;
  return { do: "update volume status", volume: { ...volume, status: { phase } } };
}

function pending(claim: PersistentVolumeClaim, told?: Told): Step {
  if (claim.status?.phase === "Pending") return told ? { do: "nothing", told } : NOTHING;
  return { do: "update claim status", claim: { ...claim, status: { phase: "Pending" } }, ...(told ? { told } : {}) };
}

function lost(claim: PersistentVolumeClaim, reason: string, message: string): Step {
  if (claim.status?.phase === "Lost") return NOTHING;
  const told: Told = { type: "Warning", reason, message };
  return { do: "update claim status", claim: { ...claim, status: { phase: "Lost" } }, told };
}

function isComplete({ metadata }: PersistentVolumeClaim): boolean {
  return metadata.annotations?.[BIND_COMPLETED] !== undefined;
}

/** A claim went elsewhere. What a person said stays said, without the claim's uid. */
function unclaimed(volume: PersistentVolume): PersistentVolume {
  const { [BOUND_BY_CONTROLLER]: byController, ...annotations } = volume.metadata.annotations ?? {};
  const { claimRef, ...spec } = volume.spec ?? {};
  const { uid: _uid, resourceVersion: _version, ...named } = claimRef ?? {};
  return {
    ...volume,
    metadata: { ...volume.metadata, annotations },
    spec: byController === undefined ? { ...spec, claimRef: named } : spec,
  };
}

/** The claim says which volume it has. */
function bound(claim: PersistentVolumeClaim, volume: PersistentVolume): PersistentVolumeClaim {
  const wasChosenHere = !claim.spec?.volumeName;
  const annotations = {
    ...claim.metadata.annotations,
    [BIND_COMPLETED]: "yes",
    ...(wasChosenHere ? { [BOUND_BY_CONTROLLER]: "yes" } : {}),
  };
  const { name = "" } = volume.metadata;
  return { ...claim, metadata: { ...claim.metadata, annotations }, spec: { ...claim.spec, volumeName: name } };
}
