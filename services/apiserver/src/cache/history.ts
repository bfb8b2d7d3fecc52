/**
 * The latest changes of one kind, shared by all its watchers: a watcher is a position in it, so a slow one holds no memory
 * of its own, and one that falls behind the bound is told that it is too old.
 */
import type { CacheChange } from "../core/model.ts";

export interface HistoryLimits {
  readonly maxChanges: number;
  readonly maxBytes: number;
}

export class History<C extends CacheChange = CacheChange> {
  readonly #limits: HistoryLimits;
  readonly #onDrop: (change: C) => void;
  /** `#changes[#head]` has position `#dropped`. */
  #changes: C[] = [];
  #head = 0;
  #dropped = 0;
  #bytes = 0;
  #floor: number;

  /** `floor`: the revision of the load; all changes after it will be appended. */
  constructor(limits: HistoryLimits, floor: number, onDrop: (change: C) => void) {
    this.#limits = limits;
    this.#floor = floor;
    this.#onDrop = onDrop;
  }

  /** All changes after this revision are here. */
  get floor(): number {
    return this.#floor;
  }

  /** The position behind the last change. */
  get end(): number {
    return this.#dropped + this.#changes.length - this.#head;
  }

  append(change: C): void {
    this.#changes.push(change);
    this.#bytes += change.entry.bytes.length;
    while (this.end - this.#dropped > this.#limits.maxChanges || this.#bytes > this.#limits.maxBytes) this.#dropFirst();
  }

  /** Where the changes after `revision` begin; undefined when some of them are gone. */
  positionAfter(revision: number): number | undefined {
    if (revision < this.#floor) return undefined;
    let low = this.#head;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#changes[middle] as C).entry.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#dropped + low - this.#head;
  }

  /** The change at a position: undefined at the end, `"dropped"` when it is gone. */
  at(position: number): C | "dropped" | undefined {
    if (position < this.#dropped) return "dropped";
    return this.#changes[position - this.#dropped + this.#head];
  }

  #dropFirst(): void {
    const first = this.#changes[this.#head] as C;
    this.#head++;
    this.#dropped++;
    this.#bytes -= first.entry.bytes.length;
    // A revision that changed several objects of the kind is whole or gone.
    this.#floor = first.entry.revision;
    this.#onDrop(first);
    if (this.#head < 1_024 || this.#head * 2 < this.#changes.length) return;
    this.#changes = this.#changes.slice(this.#head);
    this.#head = 0;
  }
}
