/** Which images to remove when the disk fills: those that nothing uses, the longest unused first. Pure. */
import type { Image } from "@pilothouse/runtime";
import { isLocalImage } from "./image-name.ts";

export interface ImageGcInput {
  readonly images: readonly Image[];
  /** Ids of images that containers are made of. */
  readonly inUse: ReadonlySet<string>;
  /** By image id: when it was first seen, and when last used. */
  readonly seen: ReadonlyMap<string, { readonly sinceMs: number; readonly usedMs: number }>;
  readonly capacityBytes: number;
  readonly availableBytes: number;
  readonly nowMs: number;
  /** All that is unused goes, however full the disk: the node is in need. */
  readonly urgent: boolean;
}

/** Shares of the disk: above the first images are removed until it is below the second. */
export const HIGH_SHARE = 0.85;
export const LOW_SHARE = 0.8;
export const MIN_AGE_MS = 120_000;

/** Ids, in the order in which they go. */
export function planImageGc(input: ImageGcInput): readonly string[] {
  const { images, inUse, seen, capacityBytes, availableBytes, nowMs, urgent } = input;
  const usedBytes = capacityBytes - availableBytes;
  if (!urgent && (capacityBytes === 0 || usedBytes < HIGH_SHARE * capacityBytes)) return [];
  let tooManyBytes = urgent ? Number.POSITIVE_INFINITY : usedBytes - LOW_SHARE * capacityBytes;
  const known = (id: string): { readonly sinceMs: number; readonly usedMs: number } =>
    seen.get(id) ?? { sinceMs: nowMs, usedMs: nowMs };
  const candidates = images
    .filter((image) => !inUse.has(image.id) && !isKept(image) && nowMs - known(image.id).sinceMs >= MIN_AGE_MS)
    .toSorted((a, b) => known(a.id).usedMs - known(b.id).usedMs || known(a.id).sinceMs - known(b.id).sinceMs);
  const gone: string[] = [];
  for (const { id, sizeBytes } of candidates) {
    if (tooManyBytes <= 0) break;
    gone.push(id);
    tooManyBytes -= sizeBytes;
  }
  return gone;
}

function isKept({ repoTags }: Image): boolean {
  return repoTags.some((tag) => isLocalImage(tag) || /(^|\/)pause[:@]/.test(tag));
}
