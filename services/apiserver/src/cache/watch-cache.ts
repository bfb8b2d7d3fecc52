/**
 * The watch cache: every object of the store in memory, kept true by one watch over the whole key space.
 *
 * Promises: its revision advances at whole revisions only and from the store's events only (C4); what it hands out is
 * immutable; a reload begins a new epoch, raises the floor to the load's revision and ends every follower (C5).
 * Does not promise: to be current; who needs that asks `waitUntilCurrent` first.
 * Limits: history per kind by count and bytes; all objects must fit into memory (≤ 1.5 resident bytes each stored one).
 * All revisions but those of the store port are resourceVersions (etcd's revision + rvBase, C8).
 */
import { sleep, type Clock, type Ids } from "@pilothouse/clock";
import { internalError } from "@pilothouse/errors";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import type { Scope } from "@pilothouse/lifecycle";
import {
  allKeys,
  RevisionCompacted,
  type Store,
  type StoreChange,
  type StoreWatch,
  type WatchEnd,
} from "@pilothouse/store";
import type { Logger } from "@pilothouse/telemetry";
import { storeKey, storePrefix, type CacheEntry, type ObjectCache } from "../core/model.ts";
import { Contents, type ContentsOptions } from "./contents.ts";
import { FanOut } from "./fan-out.ts";
import type { HistoryLimits } from "./history.ts";
import type { EntryChange } from "./kind-cache.ts";
import { loadStore, type Load } from "./load.ts";
import { RevisionGate } from "./revision-gate.ts";

export interface CachePorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
}

export interface CacheOptions {
  readonly kinds: readonly KindDefinition[];
  readonly rvBase: number;
  readonly history?: HistoryLimits;
  /** How many revisions a cold start looks back, so that clients can resume (C5). */
  readonly replayRevisions?: number;
}

/** What hears of changes: called with all changes of one kind of one delivery, in order; must not throw. */
export interface ChangeListener {
  onChanges(kind: KindDefinition, changes: readonly EntryChange[]): void;
  /**
   * A new epoch has begun, and what was replayed of the time before it is over: nothing follows from what was heard before,
   * and whatever comes after the revision of now will be heard.
   */
  onEpoch(): void;
}

/** A place in one kind's stream of changes. */
export interface Follower {
  /** The next change; undefined when there is none yet; "tooOld" when it is gone from history; "ended" after a reload. */
  next(): EntryChange | "tooOld" | "ended" | undefined;
  close(): void;
}

const DEFAULT_HISTORY: HistoryLimits = { maxChanges: 10_000, maxBytes: 32 << 20 };
const DEFAULT_REPLAY_REVISIONS = 10_000;
const RETRY_LOAD_MS = 500;

export class WatchCache implements ObjectCache {
  readonly #ports: CachePorts;
  readonly #contentsOptions: ContentsOptions;
  readonly #replayRevisions: number;
  readonly #gate: RevisionGate;
  readonly #fanOut: FanOut;
  readonly #listeners = new Set<ChangeListener>();
  /** By the kind's folder. */
  readonly #wakers = new Map<string, Set<() => void>>();
  #contents: Contents;
  #epoch: string;
  /** Counts loads: what a watch of an earlier one still delivers is not heard. */
  #loads = 0;
  /** The store's revision when the load began: what a replay must reach before the cache may say that it is ready. */
  #readyAt = 0;
  /** What the watch delivers is history: it was news before this load, and listeners are not told. */
  #replaying = false;
  #watch: StoreWatch | undefined;
  #scope: Scope | undefined;

  constructor(ports: CachePorts, options: CacheOptions) {
    const { kinds, rvBase, history = DEFAULT_HISTORY, replayRevisions = DEFAULT_REPLAY_REVISIONS } = options;
    this.#ports = ports;
    this.#contentsOptions = { kinds, rvBase, history, log: ports.log };
    this.#replayRevisions = replayRevisions;
    this.#contents = new Contents(this.#contentsOptions, 0);
    this.#epoch = ports.ids.uuid();
    this.#fanOut = new FanOut(ports.clock);
    this.#gate = new RevisionGate({
      clock: ports.clock,
      readRevision: async () => (await ports.store.revision()) + rvBase,
      onBehind: () => {
        ports.log.warn("the watch of the store misses a known revision: reconnecting", { revision: this.revision() });
        this.#watch?.reconnect();
      },
    });
  }

  /** Loads and follows until the scope closes; resolves when the first load is done. */
  async start(scope: Scope): Promise<void> {
    this.#scope = scope;
    scope.defer(() => {
      this.#watch?.close();
      this.#gate.close();
    });
    await this.#loadUntilDone(scope);
  }

  get epoch(): string {
    return this.#epoch;
  }

  revision(): number {
    return this.#gate.revision;
  }

  ready(): boolean {
    return this.#loads > 0 && !this.#gate.behind && this.#gate.revision >= this.#readyAt;
  }

  async waitUntilCurrent(signal?: AbortSignal): Promise<number> {
    const revision = await this.#gate.currentRevision();
    await this.#gate.waitFor(revision, signal);
    return this.#gate.revision;
  }

  waitFor(revision: number, signal?: AbortSignal): Promise<void> {
    return this.#gate.waitFor(revision, signal);
  }

  /** Tells of a revision that the store surely has reached (our own write's): a stream that misses it is broken (C7). */
  learn(revision: number): void {
    this.#gate.learn(revision);
  }

  /** Reads the store anew, as a new epoch, if there are values that could not be read: their key may have come since (C9). */
  rereadUnreadable(): void {
    const scope = this.#scope;
    if (!scope || scope.closed || !this.#contents.hasUnreadable) return;
    scope.run("reread", () => this.#loadUntilDone(scope));
  }

  get(kind: KindDefinition, namespace: string, name: string): CacheEntry | undefined {
    const cached = this.#contents.of(kind);
    const key = storeKey(kind, namespace, name);
    const problem = cached.broken.get(key);
    if (problem !== undefined) throw internalError(problem);
    return cached.index.get(key);
  }

  list(
    kind: KindDefinition,
    namespace: string,
  ): { readonly entries: readonly CacheEntry[]; readonly revision: number } {
    const cached = this.#contents.of(kind);
    const prefix = storePrefix(kind, kind.namespaced ? namespace : "");
    for (const [key, problem] of cached.broken) if (key.startsWith(prefix)) throw unreadableInList(key, problem);
    return { entries: cached.index.withPrefix(prefix), revision: this.#gate.revision };
  }

  /** The oldest revision from which changes of this kind can be followed. */
  floor(kind: KindDefinition): number {
    return this.#contents.of(kind).history.floor;
  }

  /**
   * Follows all changes of a kind after `revision`, which may lie in the future. `wake` is called when there may be a next
   * one, or the revision has advanced; by turns (64 watchers each), never from within this call. Undefined: too old.
   */
  follow(kind: KindDefinition, revision: number, wake: () => void): Follower | undefined {
    const { history } = this.#contents.of(kind);
    const start = history.positionAfter(revision);
    if (start === undefined) return undefined;
    let position = start;
    const wakers = this.#wakersOf(kind);
    wakers.add(wake);
    return {
      next: () => {
        if (this.#contents.of(kind).history !== history) return "ended";
        for (;;) {
          const change = history.at(position);
          if (change === undefined) return undefined;
          if (change === "dropped") return "tooOld";
          position++;
          if (change.entry.revision > revision) return change;
        }
      },
      close: () => void wakers.delete(wake),
    };
  }

  /** Hears every change from now on, synchronously. */
  listen(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Bytes held for objects and history, and how many objects there are. */
  size(): { readonly residentBytes: number; readonly objects: number } {
    const { residentBytes, objects } = this.#contents;
    return { residentBytes, objects };
  }

  async #loadUntilDone(scope: Scope): Promise<void> {
    let compactions = 0;
    for (;;) {
      try {
        // Compacted under our feet: the compactor has left word up to where, which holds until its next turn. Should that be
        // gone too, somebody else compacts as well, and what is newest must do.
        const lookBack = compactions > 1 ? 0 : this.#replayRevisions;
        const load = await loadStore(this.#ports.store, this.#contentsOptions, lookBack, scope.signal);
        if (!scope.closed) this.#begin(load, scope);
        return;
      } catch (error) {
        if (scope.closed) return;
        if (error instanceof RevisionCompacted) compactions++;
        this.#ports.log.warn("loading the store failed: trying again", { error });
        await sleep(this.#ports.clock, RETRY_LOAD_MS, scope.signal);
      }
    }
  }

  /** The synchronous switch from one epoch to the next. */
  #begin({ contents, at, head }: Load, scope: Scope): void {
    const { rvBase } = this.#contentsOptions;
    const load = ++this.#loads;
    if (load > 1) this.#epoch = this.#ports.ids.uuid();
    this.#contents = contents;
    this.#readyAt = head + rvBase;
    this.#gate.advance(at + rvBase);
    this.#gate.learn(head + rvBase);
    this.#replaying = at < head;
    if (!this.#replaying) for (const listener of this.#listeners) listener.onEpoch();
    for (const wakers of this.#wakers.values()) for (const wake of wakers) this.#fanOut.wake(wake);
    this.#watch?.close();
    this.#watch = this.#ports.store.watch({
      range: allKeys,
      startRevision: at + 1,
      onChanges: (changes) => {
        if (load === this.#loads && !scope.closed) this.#apply(changes);
      },
      onEnd: (cause) => {
        if (load === this.#loads) this.#onEnd(cause, scope);
      },
      onHealth: (healthy) => {
        if (!healthy) this.#ports.log.warn("the watch of the store broke");
      },
    });
  }

  #onEnd(cause: WatchEnd, scope: Scope): void {
    if (scope.closed || cause.reason === "closed") return;
    this.#ports.log.warn("history was compacted ahead of the cache: loading anew", {
      compacted: cause.compactRevision,
    });
    scope.run("reload", () => this.#loadUntilDone(scope));
  }

  /** Applies all changes of one or more whole revisions, then tells of them. */
  #apply(changes: readonly StoreChange[]): void {
    const last = changes.at(-1);
    if (!last) return;
    const told = this.#contents.apply(changes);
    const revision = last.type === "put" ? last.entry.modRevision : last.modRevision;
    this.#gate.advance(revision + this.#contentsOptions.rvBase);
    for (const { kind, changes: ofKind } of told) {
      if (!this.#replaying) for (const listener of this.#listeners) listener.onChanges(kind, ofKind);
      for (const wake of this.#wakersOf(kind)) this.#fanOut.wake(wake);
    }
    if (this.#replaying && this.#gate.revision >= this.#readyAt) {
      this.#replaying = false;
      for (const listener of this.#listeners) listener.onEpoch();
    }
  }

  #wakersOf(kind: KindDefinition): Set<() => void> {
    const folder = storePrefix(kind);
    const known = this.#wakers.get(folder);
    if (known) return known;
    const wakers = new Set<() => void>();
    this.#wakers.set(folder, wakers);
    return wakers;
  }
}

/** In upstream's words. */
export function unreadableInList(key: string, problem: string): Error {
  return internalError(`unable to transform key "${key}": ${problem}`);
}
