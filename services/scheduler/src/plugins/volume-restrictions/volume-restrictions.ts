import { claimsOf } from "@pilothouse/kinds/core/volume-binding";
import { FITS, unschedulable, type Plugin } from "../../core/framework.ts";
import { podKey } from "../../core/snapshot.ts";

export const IN_USE_REASON =
  "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";

/** A claim for one pod alone is used by one pod at a time, on whatever node. */
export const volumeRestrictions: Plugin<boolean> = {
  name: "VolumeRestrictions",
  undoneBy: ["PodDeleted", "StorageChanged"],
  prepare(pod, { nodes, storage }) {
    const { namespace = "" } = pod.metadata;
    const alone = claimsOf(pod).filter((name) =>
      storage.claim(namespace, name)?.spec?.accessModes?.includes("ReadWriteOncePod"),
    );
    if (alone.length === 0) return false;
    return nodes.some(({ pods }) =>
      pods.some(
        (other) =>
          other.metadata.namespace === namespace &&
          podKey(other) !== podKey(pod) &&
          claimsOf(other).some((name) => alone.includes(name)),
      ),
    );
  },
  filter: (_pod, _node, isInUse) => (isInUse ? unschedulable(IN_USE_REASON) : FITS),
};
