import type { Node, PersistentVolume, Pod } from "@pilothouse/api/types/core-v1";
import { claimsOf } from "@pilothouse/kinds/core/volume-binding";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { usesClaim } from "../../core/claims.ts";
import { FITS, unresolvable, type Plugin } from "../../core/framework.ts";
import type { StorageView } from "../../core/snapshot.ts";

export const ZONE_REASON = "node(s) had no available volume zone";

const TOPOLOGY = "topology.kubernetes.io/";
const OLD_TOPOLOGY = "failure-domain.beta.kubernetes.io/";
const PLACES = [OLD_TOPOLOGY, TOPOLOGY].flatMap((prefix) => [`${prefix}zone`, `${prefix}region`]);

/** A label of a volume that says where it can be had. */
interface Place {
  readonly volume: string;
  readonly key: string;
  readonly values: readonly string[];
}

/** Volumes that are labelled with zones or regions keep their pods there; a node that says of neither takes all. */
export const volumeZone: Plugin<readonly Place[]> = {
  name: "VolumeZone",
  undoneBy: {
    "node added": (pod, { node }, { storage }) => misplaced(node, placesOf(pod, storage)).length === 0,
    "node changed": (pod, { before, node }, { storage }) =>
      !sameValue(before.metadata.labels, node.metadata.labels) && misplaced(node, placesOf(pod, storage)).length === 0,
    "claim changed": (pod, { claim }) => usesClaim(pod, claim.metadata),
    "volume changed": (pod, { volume }, { storage }) => hasVolume(pod, volume, storage),
  },
  prepare: (pod, { storage }) => placesOf(pod, storage),
  filter: (_pod, { node }, places) => (misplaced(node, places).length === 0 ? FITS : unresolvable(ZONE_REASON)),
  explain: (_pod, { node }, places) =>
    misplaced(node, places).map(({ volume, key, values }) => ({
      detail: `${ZONE_REASON}: volume ${volume} can be had in ${key}=${values.join(" or ")}`,
    })),
};

/** Of the volumes that the pod's claims have; those that are still to come are the matter of VolumeBinding. */
function placesOf(pod: Pod, storage: StorageView): readonly Place[] {
  if (claimsOf(pod).length === 0) return [];
  return storage
    .volumes()
    .filter((volume) => hasVolume(pod, volume, storage))
    .flatMap(({ metadata: { name = "", labels = {} } }) =>
      PLACES.flatMap((key) => {
        const values = valuesOf(labels[key]);
        return values.length === 0 ? [] : [{ volume: name, key, values }];
      }),
    );
}

function hasVolume(pod: Pod, { metadata }: PersistentVolume, storage: StorageView): boolean {
  const { namespace = "" } = pod.metadata;
  return claimsOf(pod).some((name) => storage.claim(namespace, name)?.spec?.volumeName === metadata.name);
}

/** A volume that is replicated names several: `a__b`. A label that cannot be read does not count. */
function valuesOf(label: string | undefined): readonly string[] {
  const values = label === undefined ? [] : label.split("__").map((value) => value.trim());
  return values.includes("") ? [] : values;
}

function misplaced({ metadata: { labels = {} } }: Node, places: readonly Place[]): readonly Place[] {
  if (!PLACES.some((key) => key in labels)) return [];
  return places.filter(({ key, values }) => {
    const value = labels[key] ?? labels[key.replace(OLD_TOPOLOGY, TOPOLOGY)];
    return value === undefined || !values.includes(value);
  });
}
