import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import {
  bestVolume,
  claimsOf,
  classOf,
  isBound,
  isHeldBy,
  isReachedBy,
  NO_PROVISIONER,
} from "@pilothouse/kinds/core/volume-binding";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { matchesTerm } from "@pilothouse/kinds/core/node-selector";
import { usesClaim } from "../../core/claims.ts";
import { FITS, unresolvable, type FilterVerdict, type Plugin } from "../../core/framework.ts";
import type { NodeSnapshot, StorageView } from "../../core/snapshot.ts";

export const NODE_CONFLICT_REASON = "node(s) had volume node affinity conflict";
export const NO_VOLUME_REASON = "node(s) didn't find available persistent volumes to bind";
export const UNBOUND_REASON = "pod has unbound immediate PersistentVolumeClaims";
export const LOST_VOLUME_REASON = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

interface Prepared {
  /** What no node can help; undefined where there is nothing. */
  readonly refusal: string | undefined;
  /** The claim that is the matter; "" where there is nothing. */
  readonly problemClaim: string;
  readonly bound: readonly PersistentVolume[];
  readonly waiting: readonly Waiting[];
  readonly volumes: readonly PersistentVolume[];
}

/** A claim that waits for its pod's node. */
interface Waiting {
  readonly claim: PersistentVolumeClaim;
  readonly storageClass: StorageClass;
}

/** What has to be done for the pod's claims before it may go to a node. */
export interface VolumeChoices {
  readonly bind: readonly { readonly claim: PersistentVolumeClaim; readonly volume: PersistentVolume }[];
  /** For these somebody else makes a volume, once the claim says for which node. */
  readonly provision: readonly PersistentVolumeClaim[];
}

const NO_CHOICES: VolumeChoices = { bind: [], provision: [] };

/** A pod goes where its volumes are: those that it has, and those that it will get. */
export const volumeBinding: Plugin<Prepared> = {
  name: "VolumeBinding",
  undoneBy: {
    "node added": () => true,
    // Which volumes a node reaches is a matter of its labels.
    "node changed": (_pod, { before, node }) => !sameValue(before.metadata.labels, node.metadata.labels),
    "claim changed": (pod, { claim }) => usesClaim(pod, claim.metadata),
    // One that is free, or a claim's of the pod, or was: of a volume that is gone this is the last that was seen. One that a claim
    // of the pod has no more may make room for a better one.
    "volume changed": (pod, { before, volume }, { storage }) =>
      [volume, ...(before ? [before] : [])].some((one) => concerns(pod, one, storage)),
    "storage class changed": (pod, { storageClass }, { storage }) =>
      claimsOf(pod).some((name) => {
        const claim = storage.claim(pod.metadata.namespace ?? "", name);
        return claim !== undefined && classOf(claim) === storageClass.metadata.name;
      }),
  },
  prepare: (pod, { storage }) => prepare(pod, storage),
  // Upstream looks for a volume that should be there on each node, and counts these.
  refuse: (_pod, { refusal }) => (refusal === LOST_VOLUME_REASON ? undefined : refusal),
  filter(_pod, node, prepared): FilterVerdict {
    if (prepared.refusal !== undefined) return unresolvable(prepared.refusal);
    if (!prepared.bound.every((volume) => isReachedBy(volume, node.node))) return unresolvable(NODE_CONFLICT_REASON);
    return chosen(prepared, node) ? FITS : unresolvable(NO_VOLUME_REASON);
  },
  explain(_pod, node, { refusal, problemClaim, bound, waiting }) {
    if (refusal !== undefined) {
      const remedy = { do: "look at claim", claim: problemClaim } as const;
      return [{ detail: refusal.includes(`"${problemClaim}"`) ? refusal : `${refusal}: ${problemClaim}`, remedy }];
    }
    const elsewhere = bound.filter((volume) => !isReachedBy(volume, node.node));
    if (elsewhere.length > 0) {
      return elsewhere.map(({ metadata }) => ({
        detail: `${NODE_CONFLICT_REASON}: volume ${metadata.name ?? ""} is not for this node`,
      }));
    }
    return waiting.map(({ claim, storageClass }) => ({
      detail: `${NO_VOLUME_REASON}: claim ${claim.metadata.name ?? ""} wants ${claim.spec?.resources?.requests?.["storage"] ?? ""} of class ${storageClass.metadata.name ?? ""}`,
      remedy: { do: "look at claim", claim: claim.metadata.name ?? "" },
    }));
  },
};

function concerns(pod: Pod, { metadata, spec }: PersistentVolume, storage: StorageView): boolean {
  const claims = claimsOf(pod);
  if (claims.length === 0) return false;
  if (spec?.claimRef === undefined || usesClaim(pod, spec.claimRef)) return true;
  return claims.some((name) => storage.claim(pod.metadata.namespace ?? "", name)?.spec?.volumeName === metadata.name);
}

/** For the node that was decided. */
export function choicesFor(pod: Pod, node: NodeSnapshot, storage: StorageView): VolumeChoices {
  return chosen(prepare(pod, storage), node) ?? NO_CHOICES;
}

function prepare(pod: Pod, storage: StorageView): Prepared {
  const names = claimsOf(pod);
  const none: Prepared = { refusal: undefined, problemClaim: "", bound: [], waiting: [], volumes: [] };
  if (names.length === 0) return none;
  const bound: PersistentVolume[] = [];
  const waiting: Waiting[] = [];
  for (const name of names) {
    const claim = storage.claim(pod.metadata.namespace ?? "", name);
    const problem = problemOf(claim, name);
    if (!claim || problem !== undefined) return { ...none, refusal: problem ?? "", problemClaim: name };
    if (isBound(claim)) {
      const volume = storage.volumes().find(({ metadata }) => metadata.name === claim.spec?.volumeName);
      if (!volume) return { ...none, refusal: LOST_VOLUME_REASON, problemClaim: name };
      bound.push(volume);
      continue;
    }
    const storageClass = storage.storageClass(classOf(claim));
    if (storageClass?.volumeBindingMode !== "WaitForFirstConsumer") {
      return { ...none, refusal: UNBOUND_REASON, problemClaim: name };
    }
    waiting.push({ claim, storageClass });
  }
  return { ...none, bound, waiting, volumes: storage.volumes() };
}

function problemOf(claim: PersistentVolumeClaim | undefined, name: string): string | undefined {
  if (!claim) return `persistentvolumeclaim "${name}" not found`;
  if (claim.metadata.deletionTimestamp !== undefined) return `persistentvolumeclaim "${name}" is being deleted`;
  if (claim.status?.phase === "Lost") {
    return `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName ?? ""}"`;
  }
  return undefined;
}

/** A volume for each claim that waits, none of them twice; undefined where the node has none for one of them. */
function chosen({ waiting, volumes }: Prepared, { node }: NodeSnapshot): VolumeChoices | undefined {
  const bind: VolumeChoices["bind"][number][] = [];
  const provision: PersistentVolumeClaim[] = [];
  let free = volumes;
  for (const { claim, storageClass } of waiting) {
    const held = free.find((volume) => isHeldBy(volume, claim));
    const volume = held ? (isReachedBy(held, node) ? held : undefined) : bestVolume(claim, free, node);
    if (volume) {
      bind.push({ claim, volume });
      free = free.filter((other) => other !== volume);
    } else if (!held && storageClass.provisioner !== NO_PROVISIONER && isAllowed(storageClass, { node })) {
      provision.push(claim);
    } else return undefined;
  }
  return { bind, provision };
}

function isAllowed({ allowedTopologies = [] }: StorageClass, { node }: Pick<NodeSnapshot, "node">): boolean {
  if (allowedTopologies.length === 0) return true;
  return allowedTopologies.some(({ matchLabelExpressions = [] }) => {
    const matchExpressions = matchLabelExpressions.map(({ key, values }) => ({ key, operator: "In", values }));
    return matchesTerm({ matchExpressions }, node);
  });
}
