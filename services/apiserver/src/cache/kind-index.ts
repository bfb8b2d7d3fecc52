/** All objects of one kind in key order, so that a namespace is a range and a page begins where the last one ended. */
import type { Entry } from "./entry.ts";

export class KindIndex {
  readonly #byKey = new Map<string, Entry>();
  readonly #sorted: Entry[] = [];

  get size(): number {
    return this.#sorted.length;
  }

  get(key: string): Entry | undefined {
    return this.#byKey.get(key);
  }

  /** Returns what stood there before. */
  put(entry: Entry): Entry | undefined {
    const previous = this.#byKey.get(entry.key);
    this.#byKey.set(entry.key, entry);
    const at = this.#lowerBound(entry.key);
    if (previous) this.#sorted[at] = entry;
    else if (at === this.#sorted.length) this.#sorted.push(entry);
    else this.#sorted.splice(at, 0, entry);
    return previous;
  }

  /** Returns what stood there. */
  delete(key: string): Entry | undefined {
    const previous = this.#byKey.get(key);
    if (!previous) return undefined;
    this.#byKey.delete(key);
    this.#sorted.splice(this.#lowerBound(key), 1);
    return previous;
  }

  /** A copy of the references of all entries whose key begins with `prefix`, in key order. */
  withPrefix(prefix: string): readonly Entry[] {
    const last = prefix.charCodeAt(prefix.length - 1);
    const end = prefix.slice(0, -1) + String.fromCharCode(last + 1);
    return this.#sorted.slice(this.#lowerBound(prefix), this.#lowerBound(end));
  }

  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys((this.#sorted[middle] as Entry).key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** etcd's order, by bytes: that of code points. `<` differs only where surrogates meet U+E000 to U+FFFF. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left === right) continue;
    if (left < 0xd800 || right < 0xd800) return left - right;
    return rank(left) - rank(right);
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
