/**
 * Where the bytes of cached objects live: side by side in slabs of 1 MiB, so that 100,000 objects are 1,000 buffers to the
 * garbage collector and at most 1.5 resident bytes stand for a stored one.
 *
 * A slab that is more than a quarter garbage is emptied: what lives in it moves to the slab being filled. Readers that still
 * hold the old bytes keep the old slab alive until they are done.
 */
export const SLAB_BYTES = 1 << 20;
/** Larger objects get a buffer of their own, so that a slab's end wastes at most an eighth. */
const OWN_BUFFER_BYTES = SLAB_BYTES / 8;

/** What lives in a slab: its bytes move when the slab is emptied. */
export interface Placed {
  bytes: Uint8Array;
  /** The slab that holds `bytes`; undefined for large ones, which have a buffer of their own. */
  slab: Slab | undefined;
}

export interface Slab {
  readonly buffer: Uint8Array;
  usedBytes: number;
  liveBytes: number;
  readonly entries: Set<Placed>;
}

export class Slabs {
  #filling = emptySlab();
  #residentBytes = SLAB_BYTES;

  /** Bytes of memory held, for metrics and tests. */
  get residentBytes(): number {
    return this.#residentBytes;
  }

  /** Room for the bytes of an entry that is placed next, so that they need not be copied there. */
  room(lengthBytes: number): Uint8Array {
    if (lengthBytes > OWN_BUFFER_BYTES) return new Uint8Array(lengthBytes);
    if (this.#filling.usedBytes + lengthBytes > SLAB_BYTES) this.#nextSlab();
    const { buffer, usedBytes } = this.#filling;
    return buffer.subarray(usedBytes, usedBytes + lengthBytes);
  }

  /** Takes the entry's bytes in: as they lie when they lie in the `room` given last, else as a copy. */
  place(entry: Placed): void {
    const { bytes } = entry;
    if (bytes.length > OWN_BUFFER_BYTES) {
      if (bytes.length !== bytes.buffer.byteLength) entry.bytes = Uint8Array.from(bytes);
      this.#residentBytes += bytes.length;
      return;
    }
    const room = this.room(bytes.length);
    if (bytes.buffer !== room.buffer || bytes.byteOffset !== room.byteOffset) room.set(bytes);
    const slab = this.#filling;
    slab.usedBytes += room.length;
    slab.liveBytes += room.length;
    slab.entries.add(entry);
    entry.bytes = room;
    entry.slab = slab;
  }

  /** The cache needs the entry no more. */
  release(entry: Placed): void {
    const { slab } = entry;
    if (!slab) {
      this.#residentBytes -= entry.bytes.length;
      return;
    }
    slab.entries.delete(entry);
    slab.liveBytes -= entry.bytes.length;
    entry.slab = undefined;
    if (slab !== this.#filling) this.#emptyIfWasteful(slab);
  }

  #nextSlab(): void {
    const full = this.#filling;
    this.#filling = emptySlab();
    this.#residentBytes += SLAB_BYTES;
    this.#emptyIfWasteful(full);
  }

  #emptyIfWasteful(slab: Slab): void {
    if (slab.liveBytes * 4 > SLAB_BYTES * 3) return;
    this.#residentBytes -= SLAB_BYTES;
    const survivors = [...slab.entries];
    slab.entries.clear();
    for (const survivor of survivors) this.place(survivor);
  }
}

function emptySlab(): Slab {
  return { buffer: new Uint8Array(SLAB_BYTES), usedBytes: 0, liveBytes: 0, entries: new Set() };
}
