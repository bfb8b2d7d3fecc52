/**
 * The next step of a volume on a node's own disk: its directory is made, it is offered to its claim, and after the claim the
 * directory is removed. Each plan is at most one write, and everything that is known is an object of the API: a controller that
 * dies between two steps goes on where it was. Pure; what upstream's external provisioners do, in one place.
 */
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import { SELECTED_NODE } from "@pilothouse/kinds/core/volume-binding";
import { cleanerPod, makerPod, type LocalVolumes } from "./plan-helpers.ts";
import { isAskedOfUs, isOurs, localVolume, refusal, VOLUME_FINALIZER } from "./plan-volume.ts";

/** What is there of one volume, which is named after its claim's uid. */
export interface Seen {
  readonly name: string;
  /** The claim of that uid. */
  readonly claim: PersistentVolumeClaim | undefined;
  readonly storageClass: StorageClass | undefined;
  readonly volume: PersistentVolume | undefined;
  /** The one that the volume is on, or else its maker, or else the one chosen for the claim; undefined where the API has no such node. */
  readonly node: Node | undefined;
  readonly maker: Pod | undefined;
  readonly cleaner: Pod | undefined;
}

export interface Told {
  readonly about: "claim" | "volume";
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export type Step =
  | { readonly do: "nothing"; readonly told?: Told }
  /** `removes`: the pod will remove the directory, for good. */
  | { readonly do: "create pod"; readonly pod: Pod; readonly removes: boolean; readonly told?: Told }
  | { readonly do: "delete pod"; readonly pod: Pod; readonly told?: Told }
  | { readonly do: "wait"; readonly untilMs: number }
  | { readonly do: "create volume"; readonly volume: PersistentVolume; readonly told: Told }
  | { readonly do: "delete volume"; readonly volume: PersistentVolume }
  | { readonly do: "update volume"; readonly volume: PersistentVolume }
  | { readonly do: "update claim"; readonly claim: PersistentVolumeClaim };

/** A pod that failed is looked at for so long before another tries. */
const RETRY_MS = 15_000;

const NOTHING: Step = { do: "nothing" };

export function planLocalVolume(seen: Seen, settings: LocalVolumes, nowMs: number): Step {
  if (seen.volume) return isOurs(seen.volume) ? planVolume(seen, seen.volume, settings, nowMs) : NOTHING;
  if (seen.claim && wantsVolume(seen.claim)) return planMaking(seen, seen.claim, settings, nowMs);
  return planLeftovers(seen, settings, nowMs);
}

/** Neither ever changes back: a claim that has a volume keeps it, and one that is being deleted goes. */
function wantsVolume(claim: PersistentVolumeClaim): boolean {
  return isAskedOfUs(claim) && !claim.spec?.volumeName && claim.metadata.deletionTimestamp === undefined;
}

function planMaking(seen: Seen, claim: PersistentVolumeClaim, settings: LocalVolumes, nowMs: number): Step {
  const { name, storageClass, node, maker } = seen;
  if (!storageClass) return NOTHING;
  const why = refusal(claim);
  if (why !== undefined) return { do: "nothing", told: failed(storageClass, why) };
  if (!node) return { do: "update claim", claim: withoutNode(claim) };
  if (!maker) {
    const { namespace = "", name: claimName = "" } = claim.metadata;
    const message = `External provisioner is provisioning volume for claim "${namespace}/${claimName}"`;
    const told: Told = { about: "claim", type: "Normal", reason: "Provisioning", message };
    return { do: "create pod", pod: makerPod(name, node, settings), removes: false, told };
  }
  if (maker.spec.nodeName !== node.metadata.name) return { do: "delete pod", pod: maker };
  if (maker.status?.phase === "Failed") {
    return retried(maker, failed(storageClass, `pod ${maker.metadata.name ?? ""} could not make its directory`), nowMs);
  }
  if (maker.status?.phase !== "Succeeded") return NOTHING;
  const message = `Successfully provisioned volume ${name}`;
  const told: Told = { about: "claim", type: "Normal", reason: "ProvisioningSucceeded", message };
  return { do: "create volume", volume: localVolume(name, claim, storageClass, node, settings), told };
}

/** The chosen node is gone: the scheduler chooses another one. */
function withoutNode(claim: PersistentVolumeClaim): PersistentVolumeClaim {
  const { [SELECTED_NODE]: _gone, ...annotations } = claim.metadata.annotations ?? {};
  return { ...claim, metadata: { ...claim.metadata, annotations } };
}

function planVolume(seen: Seen, volume: PersistentVolume, settings: LocalVolumes, nowMs: number): Step {
  const { name, node, maker, cleaner } = seen;
  const isReleased = volume.status?.phase === "Released";
  const dies = volume.spec?.persistentVolumeReclaimPolicy === "Delete";
  if (volume.metadata.deletionTimestamp === undefined) {
    if (isReleased && dies) return { do: "delete volume", volume };
    return maker ? { do: "delete pod", pod: maker } : NOTHING;
  }
  if (!(volume.metadata.finalizers ?? []).includes(VOLUME_FINALIZER)) return NOTHING;
  if (seen.claim || volume.status?.phase === "Bound") return NOTHING;
  // What is kept is kept by whoever deletes its volume; and what a node held went with the node.
  if (!dies || !node || cleaner?.status?.phase === "Succeeded") return { do: "update volume", volume: letGo(volume) };
  if (!cleaner) return { do: "create pod", pod: cleanerPod(name, node, settings), removes: true };
  if (cleaner.status?.phase !== "Failed") return NOTHING;
  const message = `pod ${cleaner.metadata.name ?? ""} could not remove the directory of volume ${name}`;
  return retried(cleaner, { about: "volume", type: "Warning", reason: "VolumeFailedDelete", message }, nowMs);
}

function letGo(volume: PersistentVolume): PersistentVolume {
  const finalizers = (volume.metadata.finalizers ?? []).filter((finalizer) => finalizer !== VOLUME_FINALIZER);
  return { ...volume, metadata: { ...volume.metadata, finalizers } };
}

/** There is no volume, and nobody waits for one: what was made for a claim that went away meanwhile is removed. */
function planLeftovers({ name, node, maker, cleaner }: Seen, settings: LocalVolumes, nowMs: number): Step {
  if (!maker) return cleaner && isFinished(cleaner) ? { do: "delete pod", pod: cleaner } : NOTHING;
  if (!isFinished(maker) && node) return NOTHING;
  if (!node || cleaner?.status?.phase === "Succeeded") return { do: "delete pod", pod: maker };
  if (!cleaner) return { do: "create pod", pod: cleanerPod(name, node, settings), removes: true };
  return cleaner.status?.phase === "Failed" ? retried(cleaner, undefined, nowMs) : NOTHING;
}

/** @param told why it failed, each time that it does */
function retried(pod: Pod, told: Told | undefined, nowMs: number): Step {
  const untilMs = Date.parse(pod.metadata.creationTimestamp ?? "") + RETRY_MS;
  if (untilMs > nowMs) return { do: "wait", untilMs };
  return { do: "delete pod", pod, ...(told ? { told } : {}) };
}

function failed({ metadata }: StorageClass, why: string): Told {
  const message = `failed to provision volume with StorageClass "${metadata.name ?? ""}": ${why}`;
  return { about: "claim", type: "Warning", reason: "ProvisioningFailed", message };
}

function isFinished({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}
