/**
 * Frames that are ready together, joined once for all watchers that send the same ones: a burst to 1,000 watchers is one
 * buffer that stays in the processor's cache, not a copy of their own for each.
 */

/** Watchers of one kind move together, so that few joins are asked for again. */
const KEPT = 16;

interface Joined {
  readonly frames: readonly Uint8Array[];
  readonly bytes: Uint8Array;
}

export class JoinedFrames {
  /** The latest first. */
  readonly #kept: Joined[] = [];

  /** `frames`, of which there is at least one, are compared by identity and must not change any more. */
  join(frames: readonly Uint8Array[]): Uint8Array {
    if (frames.length === 1) return frames[0] as Uint8Array;
    const known = this.#kept.find((joined) => isSame(joined.frames, frames));
    if (known) return known.bytes;
    const bytes = Buffer.concat(frames);
    this.#kept.unshift({ frames, bytes });
    if (this.#kept.length > KEPT) this.#kept.pop();
    return bytes;
  }
}

function isSame(some: readonly Uint8Array[], others: readonly Uint8Array[]): boolean {
  return some.length === others.length && some.every((frame, i) => frame === others[i]);
}
