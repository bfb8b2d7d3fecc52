/** A volume that is deleted stays while a claim has it. Pure; upstream's pv_protection_controller. */
import type { PersistentVolume } from "@pilothouse/api/types/core-v1";

export const PV_FINALIZER = "kubernetes.io/pv-protection";

/** The volume without its protection, if it may go; undefined where there is nothing to do. */
export function plan(volume: PersistentVolume): PersistentVolume | undefined {
  const { finalizers = [], deletionTimestamp } = volume.metadata;
  if (deletionTimestamp === undefined || !finalizers.includes(PV_FINALIZER)) return undefined;
  if (volume.status?.phase === "Bound") return undefined;
  const left = finalizers.filter((finalizer) => finalizer !== PV_FINALIZER);
  return { ...volume, metadata: { ...volume.metadata, finalizers: left } };
}
