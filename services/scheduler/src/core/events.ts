/**
 * What happens in the cluster, as far as it changes what a scheduling cycle sees. An event brings its objects, so that a plugin
 * can say whether it could help a certain pod.
 */
import type { Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";

export type ClusterEvent =
  | { readonly what: "node added" | "node removed"; readonly node: Node }
  | { readonly what: "node changed"; readonly before: Node; readonly node: Node }
  /** On a node: decided for it, or shown there. */
  | { readonly what: "pod placed"; readonly pod: Pod }
  /** Of a pod on a node. */
  | { readonly what: "pod changed"; readonly before: Pod; readonly pod: Pod }
  /** From a node: it is gone or has ended, its binding failed, or it waits no more for room there. */
  | { readonly what: "pod left"; readonly pod: Pod }
  | { readonly what: "namespace changed"; readonly namespace: Namespace }
  /** Storage: new, other, or gone; the object is the last that was seen. */
  | { readonly what: "claim changed"; readonly claim: PersistentVolumeClaim }
  | {
      readonly what: "volume changed";
      readonly before: PersistentVolume | undefined;
      readonly volume: PersistentVolume;
    }
  | { readonly what: "storage class changed"; readonly storageClass: StorageClass };
