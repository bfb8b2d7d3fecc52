/**
 * Which volume a claim may have: what the binder and the scheduler must agree about. Pure; upstream's FindMatchingVolume and its
 * checks.
 */
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import { parseQuantity, Quantity } from "@pilothouse/quantity";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";
import { matchesTerm } from "./node-selector.ts";

/** On claims and volumes: the binding is whole. */
export const BIND_COMPLETED = "pv.kubernetes.io/bind-completed";
/** On claims and volumes: the other side was chosen here, not by a person. */
export const BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller";
/** On claims: the node for which the scheduler wants a volume to be made. */
export const SELECTED_NODE = "volume.kubernetes.io/selected-node";
/** On claims: who is to make the volume. */
export const PROVISIONER = "volume.kubernetes.io/storage-provisioner";
/** The same, as provisioners before Kubernetes 1.23 read it. */
export const OLD_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner";
/** On volumes: who made it, and deletes it. */
export const PROVISIONED_BY = "pv.kubernetes.io/provisioned-by";
/** The class of what was made before `storageClassName`. */
const OLD_CLASS = "volume.beta.kubernetes.io/storage-class";
/** The provisioner of classes whose volumes people make. */
export const NO_PROVISIONER = "kubernetes.io/no-provisioner";

/** "" for none. */
export function classOf({ metadata, spec }: PersistentVolume | PersistentVolumeClaim): string {
  return metadata.annotations?.[OLD_CLASS] ?? spec?.storageClassName ?? "";
}

/** The claim waits for a pod, whose node then says which volume it can be. */
export function isDelayed({ metadata }: PersistentVolumeClaim, storageClass: StorageClass | undefined): boolean {
  const waits = storageClass?.volumeBindingMode === "WaitForFirstConsumer";
  return waits && metadata.annotations?.[SELECTED_NODE] === undefined;
}

/** Whether the volume is meant for this very claim: by uid, or by name where nobody has been given it yet. */
export function isMeantFor({ spec }: PersistentVolume, { metadata }: PersistentVolumeClaim): boolean {
  const claim = spec?.claimRef;
  if (!claim || claim.namespace !== metadata.namespace || claim.name !== metadata.name) return false;
  return !claim.uid || claim.uid === metadata.uid;
}

/** Whether the claim has it: nobody else will. */
export function isHeldBy({ spec }: PersistentVolume, { metadata }: PersistentVolumeClaim): boolean {
  return spec?.claimRef?.uid !== undefined && spec.claimRef.uid === metadata.uid;
}

/** Why the volume will not do, in upstream's words; undefined if it will. */
export function mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
  if (capacityOf(volume).compare(requestOf(claim)) < 0) return "requested PV is too small";
  if (classOf(volume) !== classOf(claim)) return "storageClassName does not match";
  if ((volume.spec?.volumeMode ?? "Filesystem") !== (claim.spec?.volumeMode ?? "Filesystem")) {
    return "incompatible volumeMode";
  }
  const offered = volume.spec?.accessModes ?? [];
  if (!(claim.spec?.accessModes ?? []).every((mode) => offered.includes(mode))) return "incompatible accessMode";
  return undefined;
}

/**
 * The volume that was made for the claim, or else the smallest free one that will do.
 *
 * @param node only volumes that this node reaches; undefined: any
 */
export function bestVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  node?: Node,
): PersistentVolume | undefined {
  const selector = claim.spec?.selector && labelSelectorOf(claim.spec.selector);
  const usable = volumes.filter(
    (volume) =>
      volume.metadata.deletionTimestamp === undefined &&
      mismatch(volume, claim) === undefined &&
      (node === undefined || isReachedBy(volume, node)),
  );
  const meant = usable.find((volume) => isMeantFor(volume, claim));
  if (meant) return meant;
  return usable
    .filter(({ spec, status }) => spec?.claimRef === undefined && status?.phase === "Available")
    .filter(({ metadata }) => selector === undefined || matchesLabels(selector, metadata.labels))
    .sort(
      (a, b) => capacityOf(a).compare(capacityOf(b)) || ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1),
    )[0];
}

/** Whether pods on the node can have the volume. */
export function isReachedBy({ spec }: PersistentVolume, node: Node): boolean {
  const required = spec?.nodeAffinity?.required;
  return !required || (required.nodeSelectorTerms ?? []).some((term) => matchesTerm(term, node));
}

/** The claim has its volume, and both have said so. */
export function isBound({ metadata, spec }: PersistentVolumeClaim): boolean {
  return Boolean(spec?.volumeName) && metadata.annotations?.[BIND_COMPLETED] !== undefined;
}

/** Names of the claims that a pod mounts, those that are made for it alone included. */
export function claimsOf({ metadata, spec }: Pod): readonly string[] {
  return (spec.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim) return [persistentVolumeClaim.claimName];
    return ephemeral ? [`${metadata.name ?? ""}-${name}`] : [];
  });
}

/** The volume with its word that the claim has it. */
export function claimed(volume: PersistentVolume, { metadata }: PersistentVolumeClaim): PersistentVolume {
  const { namespace, name, uid, resourceVersion } = metadata;
  const wasChosenHere = volume.spec?.claimRef === undefined;
  const annotations = { ...volume.metadata.annotations, ...(wasChosenHere ? { [BOUND_BY_CONTROLLER]: "yes" } : {}) };
  return {
    ...volume,
    metadata: { ...volume.metadata, ...(Object.keys(annotations).length > 0 ? { annotations } : {}) },
    spec: {
      ...volume.spec,
      claimRef: {
        kind: "PersistentVolumeClaim",
        apiVersion: "v1",
        ...(namespace === undefined ? {} : { namespace }),
        ...(name === undefined ? {} : { name }),
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
    },
  };
}

function capacityOf({ spec }: PersistentVolume): Quantity {
  return amount(spec?.capacity?.["storage"]);
}

function requestOf({ spec }: PersistentVolumeClaim): Quantity {
  return amount(spec?.resources?.requests?.["storage"]);
}

function amount(text: string | undefined): Quantity {
  return text === undefined ? Quantity.zero : parseQuantity(text);
}
