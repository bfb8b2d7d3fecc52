/**
 * Machines, and the lives of the process on each. A crash ends a life: its memory is dropped by whoever holds it, its timers
 * never fire and its ports are dead, so that pending and later calls never settle. A pause defers a machine's events, in
 * their order, until it ends: that is what fencing is for.
 */
import type { Clock, Random, TimeAndChance, Timer } from "@pilothouse/clock";
import { seededIds } from "@pilothouse/clock/seeded";
import { contextOf } from "./traps.ts";
import { WORLD_BEGINS_MS, type World } from "./world.ts";

export class Machine {
  readonly name: string;
  readonly world: World;
  #incarnation = 0;
  #life: Life | undefined;
  #paused = false;
  #deferred: (() => void)[] = [];

  constructor(world: World, name: string) {
    this.world = world;
    this.name = name;
  }

  get life(): Life | undefined {
    return this.#life;
  }

  get paused(): boolean {
    return this.#paused;
  }

  boot(): Life {
    this.crash();
    this.#life = new Life(this, ++this.#incarnation);
    return this.#life;
  }

  crash(): void {
    const life = this.#life;
    this.#life = undefined;
    this.#deferred = [];
    life?.end();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#catchUp();
  }

  /** Now; or when the pause has ended and all that was deferred before has been done. */
  run(work: () => void): void {
    if (this.#paused || this.#deferred.length > 0) this.#deferred.push(work);
    else work();
  }

  #catchUp(): void {
    if (this.#deferred.length === 0) return;
    this.world.at(0, `${this.name} catches up`, () => {
      if (this.#paused) return;
      this.#deferred[0]?.();
      this.#deferred.shift();
      this.#catchUp();
    });
  }
}

export class Life {
  readonly machine: Machine;
  /** `controller-manager-1#2` */
  readonly name: string;
  readonly time: TimeAndChance;
  readonly #inContext: ReturnType<typeof contextOf>;
  readonly #endings = new Set<() => void>();
  #alive = true;

  constructor(machine: Machine, incarnation: number) {
    this.machine = machine;
    this.name = `${machine.name}#${incarnation}`;
    this.#inContext = contextOf({ life: this.name });
    const random = machine.world.random.fork(`life/${this.name}`);
    this.time = { clock: this.#clock(), random, ids: seededIds(random.fork("ids")) };
  }

  get alive(): boolean {
    return this.#alive;
  }

  get clock(): Clock {
    return this.time.clock;
  }

  get random(): Random {
    return this.time.random;
  }

  /** An event of this life: it never happens after the life has ended. */
  after(delayMs: number, what: string, run: () => void): Timer {
    return this.machine.world.at(delayMs, `${this.name} ${what}`, () => this.run(run));
  }

  /** Runs work of this life now, or when its machine's pause ends. */
  run(work: () => void): void {
    if (!this.#alive) return;
    this.machine.run(() => {
      if (this.#alive) this.#inContext(work);
    });
  }

  /** Calls back when the life ends; returns what takes that back. The world does it, not the dead. */
  onEnd(notify: () => void): () => void {
    if (!this.#alive) notify();
    else this.#endings.add(notify);
    return () => void this.#endings.delete(notify);
  }

  /** The promise as this life sees it: settled by an event of its own, or never once it has ended. */
  seen<T>(what: string, promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      promise.then(
        (value) => void this.after(0, what, () => resolve(value)),
        (error: unknown) => void this.after(0, `${what} failed`, () => reject(error)),
      );
    });
  }

  end(): void {
    this.#alive = false;
    for (const notify of this.#endings) notify();
    this.#endings.clear();
  }

  #clock(): Clock {
    const { world } = this.machine;
    return {
      now: () => WORLD_BEGINS_MS + world.nowMs,
      monotonicMs: () => world.nowMs,
      setTimer: (delayMs, run) => this.after(delayMs, "timer", run),
      turn: () => new Promise((resolve) => void this.after(0, "turn", resolve)),
    };
  }
}

/** Things that happen one after the other, each in an event of its own, never before the one pushed before it. */
export class Line {
  readonly #world: World;
  readonly #waiting: (() => void)[] = [];
  #lastMs = 0;

  constructor(world: World) {
    this.#world = world;
  }

  push(delayMs: number, what: string, run: () => void): void {
    const atMs = Math.max(this.#lastMs, this.#world.nowMs + delayMs);
    this.#lastMs = atMs;
    this.#waiting.push(run);
    // Events of one time come in any order: whichever comes first performs what was pushed first.
    this.#world.at(atMs - this.#world.nowMs, what, () => {
      this.#waiting.shift()?.();
    });
  }
}
