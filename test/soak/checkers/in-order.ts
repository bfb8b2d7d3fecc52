/** Events of several watches of one store, told in the order of their revisions: each waits until no watch can bring an older one. */
export interface Sighting {
  readonly revision: number;
}

export class InOrder<Event extends Sighting> {
  /** How far each watch has come. */
  readonly #reached: Map<string, number>;
  readonly #waiting: Event[] = [];

  constructor(watches: readonly string[]) {
    this.#reached = new Map(watches.map((watch) => [watch, 0]));
  }

  /** Seen on a watch; the watch has come as far. */
  offer(watch: string, event: Event): Event[] {
    this.#waiting.push(event);
    return this.advance(watch, event.revision);
  }

  /** A bookmark, or the revision of a list. What can be told now, in order; of equal revisions in the order of their coming. */
  advance(watch: string, revision: number): Event[] {
    this.#reached.set(watch, Math.max(this.#reached.get(watch) ?? 0, revision));
    // A revision may have several events: those of the newest one may still be coming.
    const whole = Math.min(...this.#reached.values());
    const told = this.#waiting
      .filter((event) => event.revision < whole)
      .sort((one, other) => one.revision - other.revision);
    this.#waiting.splice(0, this.#waiting.length, ...this.#waiting.filter((event) => event.revision >= whole));
    return told;
  }
}
