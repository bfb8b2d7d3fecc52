/** The PersistentVolume of a directory on a node. Pure. */
import type { Node, PersistentVolume, PersistentVolumeClaim } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import { PROVISIONED_BY, PROVISIONER, SELECTED_NODE } from "@pilothouse/kinds/core/volume-binding";
import { directoryOf, type LocalVolumes } from "./plan-helpers.ts";

/** As `provisioner` of a StorageClass. */
export const PROVISIONER_NAME = "pilothouse.io/local-volume";
/** On volumes: there is a directory behind it. */
export const VOLUME_FINALIZER = "pilothouse.io/local-volume";

const HOSTNAME = "kubernetes.io/hostname";
/** A directory is on one node. */
const ACCESS_MODES = new Set(["ReadWriteOnce", "ReadWriteOncePod"]);

export function volumeNameOf({ metadata }: PersistentVolumeClaim): string {
  return `pvc-${metadata.uid ?? ""}`;
}

export function isOurs({ metadata }: PersistentVolume): boolean {
  return metadata.annotations?.[PROVISIONED_BY] === PROVISIONER_NAME;
}

/** By its class, as the binder has written it down. */
export function isAskedOfUs({ metadata }: PersistentVolumeClaim): boolean {
  return metadata.annotations?.[PROVISIONER] === PROVISIONER_NAME;
}

/** Why there will never be a volume for the claim; undefined if there can be one. */
export function refusal({ metadata, spec }: PersistentVolumeClaim): string | undefined {
  const unknown = (spec?.accessModes ?? []).filter((mode) => !ACCESS_MODES.has(mode));
  if (unknown.length > 0) {
    return `a directory of one node cannot be had as ${unknown.join(", ")}: only ReadWriteOnce and ReadWriteOncePod are supported`;
  }
  if (spec?.volumeMode === "Block") return "a directory is no block device: only volumeMode Filesystem is supported";
  if (spec?.selector) return "claim Selector is not supported";
  if (metadata.annotations?.[SELECTED_NODE] === undefined) {
    return "no node was specified: the class must have volumeBindingMode WaitForFirstConsumer";
  }
  return undefined;
}

/** Whose claim it is stands in it from the start: nobody else can take it. */
export function localVolume(
  name: string,
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  node: Node,
  settings: LocalVolumes,
): PersistentVolume {
  const { namespace = "", name: claimName = "", uid = "" } = claim.metadata;
  const hostname = node.metadata.labels?.[HOSTNAME] ?? node.metadata.name ?? "";
  const matchExpressions = [{ key: HOSTNAME, operator: "In", values: [hostname] }];
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name, annotations: { [PROVISIONED_BY]: PROVISIONER_NAME }, finalizers: [VOLUME_FINALIZER] },
    spec: {
      capacity: { storage: claim.spec?.resources?.requests?.["storage"] ?? "0" },
      accessModes: [...(claim.spec?.accessModes ?? [])],
      volumeMode: "Filesystem",
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? "Delete",
      storageClassName: storageClass.metadata.name ?? "",
      claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name: claimName, uid },
      local: { path: directoryOf(name, settings) },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions }] } },
    },
  };
}
