import type { Pod } from "@pilothouse/api/types/core-v1";
import { claimsOf } from "@pilothouse/kinds/core/volume-binding";
import { usesClaim } from "../../core/claims.ts";
import { FITS, unschedulable, type Plugin } from "../../core/framework.ts";
import { podKey } from "../../core/snapshot.ts";

export const IN_USE_REASON =
  "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";

/** A claim for one pod alone is used by one pod at a time, on whatever node. */
export const volumeRestrictions: Plugin<Pod | undefined> = {
  name: "VolumeRestrictions",
  undoneBy: {
    "pod left": (pod, event) => claimsOf(event.pod).some((name) => usesClaim(pod, { ...event.pod.metadata, name })),
    // With its pods; who of them had the claim is not said.
    "node removed": () => true,
    "claim changed": (pod, { claim }) => usesClaim(pod, claim.metadata),
  },
  /** The pod that has one of the claims. */
  prepare(pod, { nodes, storage }) {
    const { namespace = "" } = pod.metadata;
    const alone = claimsOf(pod).filter((name) =>
      storage.claim(namespace, name)?.spec?.accessModes?.includes("ReadWriteOncePod"),
    );
    if (alone.length === 0) return undefined;
    const hasOne = (other: Pod): boolean =>
      other.metadata.namespace === namespace &&
      podKey(other) !== podKey(pod) &&
      claimsOf(other).some((name) => alone.includes(name));
    return nodes.flatMap(({ pods }) => pods).find(hasOne);
  },
  filter: (_pod, _node, user) => (user ? unschedulable(IN_USE_REASON) : FITS),
  explain: (_pod, _node, user) =>
    user ? [{ detail: `pod ${podKey(user)} has a claim that only one pod may have (ReadWriteOncePod)` }] : [],
};
