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
  type StoreEntry,
  type StoreWatch,
  type WatchEnd,
} from "@pilothouse/store";
import type { Logger } from "@pilothouse/telemetry";
import { storeKey, storePrefix, type CacheEntry, type ObjectCache } from "../core/model.ts";
import { atRevision, DELETE_CAUSES, decodeDeleteCause, type DeleteCause } from "../core/stored.ts";
import { Entry, readEntry } from "./entry.ts";
import { FanOut } from "./fan-out.ts";
import type { HistoryLimits } from "./history.ts";
import { KindCache, type EntryChange } from "./kind-cache.ts";
import { RevisionGate } from "./revision-gate.ts";
import { Slabs } from "./slab.ts";

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
  /** A new epoch has begun: nothing follows from what was heard before. */
  onEpoch(): void;
}

/** A place in one kind's stream of changes. */
export interface Follower {
  /** The next change; undefined when there is none yet; "tooOld" when it is gone from history; "ended" after a reload. */
  next(): EntryChange | "tooOld" | "ended" | undefined;
  close(): void;
}

/** Where the compactor leaves the revision that it compacts to, before it does (flows/compact.ts). */
export const COMPACTED_KEY = "/pilothouse/compacted";

const DEFAULT_HISTORY: HistoryLimits = { maxChanges: 10_000, maxBytes: 32 << 20 };
const DEFAULT_REPLAY_REVISIONS = 10_000;
const RETRY_LOAD_MS = 500;

export class WatchCache implements ObjectCache {
  readonly #ports: CachePorts;
  readonly #options: CacheOptions;
  readonly #kindsByFolder: ReadonlyMap<string, KindDefinition>;
  readonly #gate: RevisionGate;
  readonly #fanOut: FanOut;
  readonly #listeners = new Set<ChangeListener>();
  readonly #wakers = new Map<string, Set<() => void>>();
  #slabs = new Slabs();
  #kinds: ReadonlyMap<string, KindCache> = new Map();
  #epoch: string;
  #loaded = false;
  /** The store's revision when the first load began: what a replay must reach before the cache may say that it is ready. */
  #readyAt = 0;
  #watch: StoreWatch | undefined;
  /** Counts loads: what a watch of an earlier one still delivers is not heard. */
  #loads = 0;

  constructor(ports: CachePorts, options: CacheOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#epoch = ports.ids.uuid();
    this.#fanOut = new FanOut(ports.clock);
    this.#kindsByFolder = new Map(options.kinds.map((kind) => [storePrefix(kind), kind]));
    this.#gate = new RevisionGate({
      clock: ports.clock,
      readRevision: async () => (await ports.store.revision()) + options.rvBase,
      onBehind: () => {
        ports.log.warn("the watch of the store misses a known revision: reconnecting", { revision: this.revision() });
        this.#watch?.reconnect();
      },
    });
    this.#kinds = this.#emptyKinds(0);
  }

  /** Loads and follows until the scope closes; resolves when the first load is done. */
  async start(scope: Scope): Promise<void> {
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
    return this.#loaded && !this.#gate.behind && this.#gate.revision >= this.#readyAt;
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

  get(kind: KindDefinition, namespace: string, name: string): CacheEntry | undefined {
    const cached = this.#of(kind);
    const key = storeKey(kind, namespace, name);
    if (cached.broken.has(key)) throw unreadable(key);
    return cached.index.get(key);
  }

  list(
    kind: KindDefinition,
    namespace: string,
  ): { readonly entries: readonly CacheEntry[]; readonly revision: number } {
    const cached = this.#of(kind);
    const prefix = storePrefix(kind, kind.namespaced ? namespace : "");
    for (const key of cached.broken) if (key.startsWith(prefix)) throw unreadable(key);
    return { entries: cached.index.withPrefix(prefix), revision: this.#gate.revision };
  }

  /** The oldest revision from which changes of this kind can be followed. */
  floor(kind: KindDefinition): number {
    return this.#of(kind).history.floor;
  }

  /**
   * Follows all changes of a kind after `revision`, which may lie in the future. `wake` is called when there may be a next
   * one, or the revision has advanced; by turns (64 watchers each), never from within this call. Undefined: too old.
   */
  follow(kind: KindDefinition, revision: number, wake: () => void): Follower | undefined {
    const { history } = this.#of(kind);
    const start = history.positionAfter(revision);
    if (start === undefined) return undefined;
    let position = start;
    const wakers = this.#wakersOf(kind);
    wakers.add(wake);
    return {
      next: () => {
        if (this.#of(kind).history !== history) return "ended";
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
    let objects = 0;
    for (const { index } of this.#kinds.values()) objects += index.size;
    return { residentBytes: this.#slabs.residentBytes, objects };
  }

  async #loadUntilDone(scope: Scope): Promise<void> {
    for (let lookBack = this.#options.replayRevisions ?? DEFAULT_REPLAY_REVISIONS; ;) {
      try {
        await this.#load(scope, lookBack);
        return;
      } catch (error) {
        if (scope.closed) return;
        // Compacted under our feet: the next attempt takes what is newest.
        if (error instanceof RevisionCompacted) lookBack = 0;
        this.#ports.log.warn("loading the store failed: trying again", { error });
        await sleep(this.#ports.clock, RETRY_LOAD_MS, scope.signal);
      }
    }
  }

  async #load(scope: Scope, lookBack: number): Promise<void> {
    const { store } = this.#ports;
    const head = await store.revision();
    const at = await this.#oldestLoadable(head, lookBack);
    const slabs = new Slabs();
    const kinds = this.#emptyKinds(at + this.#options.rvBase, slabs);
    let { from } = allKeys;
    for (;;) {
      const page = await store.range({ from, to: allKeys.to }, { revision: at, limit: 500, signal: scope.signal });
      for (const entry of page.entries) this.#loadEntry(kinds, entry);
      const last = page.entries.at(-1);
      if (!page.more || !last) break;
      from = `${last.key}\0`;
    }
    if (scope.closed) return;
    this.#begin(kinds, slabs, at, head);
    this.#watch?.close();
    const load = ++this.#loads;
    this.#watch = store.watch({
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

  /** The oldest revision in reach that the store still has. */
  async #oldestLoadable(head: number, lookBack: number): Promise<number> {
    if (lookBack === 0) return head;
    const wanted = Math.max(1, head - lookBack);
    if (await this.#isLoadable(wanted)) return wanted;
    // etcd says that it has compacted, not up to where: our compactor left that in its key.
    const { entry } = await this.#ports.store.get(COMPACTED_KEY);
    const compacted = entry ? Number(Buffer.from(entry.value).toString("utf8")) : 0;
    return compacted > wanted && compacted < head && (await this.#isLoadable(compacted)) ? compacted : head;
  }

  async #isLoadable(revision: number): Promise<boolean> {
    try {
      await this.#ports.store.range({ from: COMPACTED_KEY, to: `${COMPACTED_KEY}\0` }, { revision, countOnly: true });
      return true;
    } catch (error) {
      if (error instanceof RevisionCompacted) return false;
      throw error;
    }
  }

  /** The synchronous switch from one epoch to the next. */
  #begin(kinds: ReadonlyMap<string, KindCache>, slabs: Slabs, at: number, head: number): void {
    const { rvBase } = this.#options;
    if (this.#loaded) this.#epoch = this.#ports.ids.uuid();
    this.#kinds = kinds;
    this.#slabs = slabs;
    this.#loaded = true;
    this.#readyAt = head + rvBase;
    this.#gate.advance(at + rvBase);
    this.#gate.learn(head + rvBase);
    for (const listener of this.#listeners) listener.onEpoch();
    this.#wakeAll();
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
    const causes = deleteCauses(changes);
    const told = new Map<KindCache, EntryChange[]>();
    let revision = 0;
    for (const change of changes) {
      const key = change.type === "put" ? change.entry.key : change.key;
      revision = change.type === "put" ? change.entry.modRevision : change.modRevision;
      const cached = this.#ofKey(this.#kinds, key);
      if (!cached) continue;
      const entryChange =
        change.type === "put" ? this.#put(cached, change.entry) : this.#delete(cached, key, revision, causes);
      if (!entryChange) continue;
      const list = told.get(cached);
      if (list) list.push(entryChange);
      else told.set(cached, [entryChange]);
    }
    this.#gate.advance(revision + this.#options.rvBase);
    for (const [{ kind }, list] of told) for (const listener of this.#listeners) listener.onChanges(kind, list);
    for (const { kind } of told.keys()) for (const wake of this.#wakersOf(kind)) this.#fanOut.wake(wake);
  }

  #put(cached: KindCache, stored: StoreEntry): EntryChange | undefined {
    const entry = this.#read(cached, stored);
    return entry && cached.put(entry);
  }

  #delete(
    cached: KindCache,
    key: string,
    revision: number,
    causes: ReadonlyMap<string, DeleteCause>,
  ): EntryChange | undefined {
    cached.broken.delete(key);
    const previous = cached.index.get(key);
    if (!previous) return undefined;
    const resourceVersion = revision + this.#options.rvBase;
    const trace = causes.get(`${revision} ${key}`)?.trace;
    const bytes = atRevision(previous.bytes, previous.revision, resourceVersion);
    return cached.delete(new Entry(key, cached.kind, resourceVersion, trace, previous, bytes), previous);
  }

  #loadEntry(kinds: ReadonlyMap<string, KindCache>, stored: StoreEntry): void {
    const cached = this.#ofKey(kinds, stored.key);
    const entry = cached && this.#read(cached, stored);
    if (entry) cached.load(entry);
  }

  /** Undefined for a value that cannot be read, which is then remembered as broken. */
  #read({ kind, broken }: KindCache, stored: StoreEntry): Entry | undefined {
    try {
      return readEntry(kind, stored, this.#options.rvBase);
    } catch (error) {
      this.#ports.log.error("a stored value cannot be read", { key: stored.key, error });
      broken.add(stored.key);
      return undefined;
    }
  }

  #of(kind: KindDefinition): KindCache {
    const cached = this.#kinds.get(storePrefix(kind));
    if (!cached) throw new Error(`${kind.group}/${kind.resource} is not in the cache`);
    return cached;
  }

  /** `/registry/<group>/<resource>/…` is a key of the kind with that folder. */
  #ofKey(kinds: ReadonlyMap<string, KindCache>, key: string): KindCache | undefined {
    if (!key.startsWith("/registry/")) return undefined;
    const group = key.indexOf("/", "/registry/".length);
    const resource = key.indexOf("/", group + 1);
    return group < 0 || resource < 0 ? undefined : kinds.get(key.slice(0, resource + 1));
  }

  #emptyKinds(floor: number, slabs = this.#slabs): ReadonlyMap<string, KindCache> {
    const limits = this.#options.history ?? DEFAULT_HISTORY;
    return new Map(
      [...this.#kindsByFolder].map(([folder, kind]) => [folder, new KindCache(kind, slabs, limits, floor)]),
    );
  }

  #wakersOf(kind: KindDefinition): Set<() => void> {
    const folder = storePrefix(kind);
    const known = this.#wakers.get(folder);
    if (known) return known;
    const wakers = new Set<() => void>();
    this.#wakers.set(folder, wakers);
    return wakers;
  }

  #wakeAll(): void {
    for (const wakers of this.#wakers.values()) for (const wake of wakers) this.#fanOut.wake(wake);
  }
}

/** The causes of the deletes among these changes, by `<revision> <key>`. */
function deleteCauses(changes: readonly StoreChange[]): ReadonlyMap<string, DeleteCause> {
  const causes = new Map<string, DeleteCause>();
  for (const change of changes) {
    if (change.type !== "put" || !change.entry.key.startsWith(DELETE_CAUSES)) continue;
    const cause = decodeDeleteCause(change.entry.value);
    if (cause) causes.set(`${change.entry.modRevision} ${cause.key}`, cause);
  }
  return causes;
}

function unreadable(key: string): Error {
  return internalError(`the stored value of ${key} cannot be read`);
}
