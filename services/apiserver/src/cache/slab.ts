/**
 * Where the bytes of cached objects live: side by side in slabs of 1 MiB, so that 100,000 objects are 1,000 buffers to the
 * garbage collector and at most 1.5 resident bytes stand for a stored one.
 *
 * A slab of which nothing lives is given up. Only when more than a quarter of all slabs together is garbage is the emptiest
 * one emptied, by moving what lives in it to the slab being filled: history goes in the order in which it came, so that most
 * slabs empty by themselves, and to move their bytes before would be copying for nothing. Readers that still hold the old bytes
 * keep the old slab alive until they are done.
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
  /** All but the one being filled. */
  readonly #full = new Set<Slab>();
  /** Live bytes in them. */
  #liveBytes = 0;
  #ownBufferBytes = 0;

  /** Bytes of memory held, for metrics and tests. */
  get residentBytes(): number {
    return (this.#full.size + 1) * SLAB_BYTES + this.#ownBufferBytes;
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
      this.#ownBufferBytes += bytes.length;
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
      this.#ownBufferBytes -= entry.bytes.length;
      return;
    }
    slab.entries.delete(entry);
    slab.liveBytes -= entry.bytes.length;
    entry.slab = undefined;
    if (!this.#full.has(slab)) return;
    this.#liveBytes -= entry.bytes.length;
    if (slab.liveBytes === 0) this.#full.delete(slab);
    this.#emptyWhileWasteful();
  }

  #nextSlab(): void {
    const { liveBytes } = this.#filling;
    if (liveBytes > 0) this.#full.add(this.#filling);
    this.#liveBytes += liveBytes;
    this.#filling = emptySlab();
  }

  /** Each turn gives up a slab for at most three quarters of another. */
  #emptyWhileWasteful(): void {
    while (this.#liveBytes * 4 < this.#full.size * SLAB_BYTES * 3) this.#empty(this.#emptiest());
  }

  #emptiest(): Slab {
    let emptiest: Slab | undefined;
    for (const slab of this.#full) if (!emptiest || slab.liveBytes < emptiest.liveBytes) emptiest = slab;
    return emptiest as Slab;
  }

  #empty(slab: Slab): void {
    this.#full.delete(slab);
    this.#liveBytes -= slab.liveBytes;
    for (const survivor of slab.entries) this.place(survivor);
    slab.entries.clear();
  }
}

function emptySlab(): Slab {
  return { buffer: new Uint8Array(SLAB_BYTES), usedBytes: 0, liveBytes: 0, entries: new Set() };
}
