/** How many entries to ask for so that a page has about the wanted bytes: etcd knows limits by count only. */
const FEWEST = 16;
const MOST = 10_000;
/** Before anything is known of the entries. */
const FIRST_MEAN_BYTES = 16_384;

export class PageSize {
  #meanBytes = FIRST_MEAN_BYTES;

  entriesFor(bytes: number): number {
    return Math.max(FEWEST, Math.min(MOST, Math.ceil(bytes / this.#meanBytes)));
  }

  /** Learns from a page: at once from larger entries, slowly from smaller ones. */
  seen(entries: number, bytes: number): void {
    if (entries === 0) return;
    const meanBytes = Math.max(64, bytes / entries);
    this.#meanBytes = meanBytes > this.#meanBytes ? meanBytes : (this.#meanBytes * 3 + meanBytes) / 4;
  }
}
