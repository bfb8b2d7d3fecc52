/** A claim that is deleted stays until no pod uses it. Pure; upstream's pvc_protection_controller. */
import type { PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import { claimsOf } from "@pilothouse/kinds/core/volume-binding";
import { hasPodEnded } from "../../core/pods.ts";

export const PVC_FINALIZER = "kubernetes.io/pvc-protection";

/** The claim without its protection, if it may go; undefined where there is nothing to do. */
export function plan(claim: PersistentVolumeClaim, pods: readonly Pod[]): PersistentVolumeClaim | undefined {
  const { finalizers = [], deletionTimestamp } = claim.metadata;
  if (deletionTimestamp === undefined || !finalizers.includes(PVC_FINALIZER)) return undefined;
  if (pods.some((pod) => !hasPodEnded(pod) && uses(pod, claim))) return undefined;
  const left = finalizers.filter((finalizer) => finalizer !== PVC_FINALIZER);
  return { ...claim, metadata: { ...claim.metadata, finalizers: left } };
}

/** Whether the pod, on a node already, mounts the claim; one without a node can be told that it is gone. */
export function uses(pod: Pod, { metadata }: PersistentVolumeClaim): boolean {
  if (!pod.spec.nodeName || pod.metadata.namespace !== metadata.namespace) return false;
  return claimsOf(pod).includes(metadata.name ?? "");
}
