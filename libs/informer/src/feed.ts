import { busSubjects, type BusSubscription } from "@pilothouse/bus";
import type { ApiserverIdentity, KubernetesObject, ResourceType } from "@pilothouse/client";
import { sleep, type Timer } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import type { Counter } from "@pilothouse/telemetry";
import { judge, type ChainPosition } from "./chain.ts";
import type { Informer, InformerOptions, InformerPorts, InformerStats } from "./contract.ts";
import { readChange, type ChangeMessage } from "./message.ts";
import { keyOf, ObjectStore, revisionOf, splitKey, type InformerChange } from "./object-store.ts";
import { selects } from "./selection.ts";
import { RevisionWaiters } from "./waiters.ts";

const DEFAULT_BOOKMARK_INTERVAL_MS = 5_000;
/** A watch over HTTP is asked to end after this long, and given up a little later: without a bus a dead one is noticed by then. */
const WATCH_SECONDS = 60;
const WATCH_GRACE_MS = 5_000;
const CATCH_UP_MS = 1_000;
/** So late after the bus has told of it a watch over HTTP still shows a change. */
const WATCH_LATE_MS = 2_000;
/** What is left of a wait may be a rounding error: a timer may come that much too early, again and again. */
const LEAST_TIMER_MS = 1;
/** A watch over HTTP that ends sooner and has shown nothing is a failure, as upstream's reflector has it: the next may do the same. */
const SHORT_WATCH_MS = 1_000;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;

interface Chain extends ApiserverIdentity {
  readonly subject: string;
  readonly subscription: BusSubscription;
}

/** The first change that is not seen until the object is here, and the last one that the object must show. */
interface Fetch {
  readonly first: number;
  readonly last: number;
}

/** See index.ts for what it promises. */
export class Feed<T extends KubernetesObject> implements Informer<T> {
  readonly type: ResourceType<T>;
  readonly isWhole: boolean;
  readonly #ports: InformerPorts;
  readonly #options: InformerOptions<T>;
  readonly #store: ObjectStore<T>;
  readonly #wanted: (object: KubernetesObject) => boolean;
  /** The chain tells of more than a watch over HTTP shows: how far the watch is, is not known from its silence. */
  readonly #isPartOfChain: boolean;
  readonly #handlers = new Set<(change: InformerChange<T>) => void>();
  readonly #waiters: RevisionWaiters;
  readonly #changes: Counter;
  /** Objects whose changes came without them, by key: asked for over HTTP. */
  readonly #fetching = new Map<string, Fetch>();
  readonly #stats = { changesByBus: 0, changesByHttp: 0, lists: 0, resumes: 0 };
  #position: ChainPosition = { whole: 0 };
  #listed = false;
  /** Since something was last served. */
  #failures = 0;
  #chain: Chain | undefined;
  #onBus = false;
  #heardAtMs = 0;
  #bookmarkIntervalMs: number;
  /** Runs while the bus has told more than the watch over HTTP. */
  #suspicion: Timer | undefined;
  /** Ends the present watch, or the present following of the bus. */
  #interrupt: (() => void) | undefined;

  constructor(ports: InformerPorts, options: InformerOptions<T>) {
    this.type = options.type;
    this.#ports = ports;
    this.#options = options;
    this.#store = new ObjectStore(options.indexes ?? {});
    this.#wanted = selects({ ...options, ...(options.node ? { fieldSelector: `spec.nodeName=${options.node}` } : {}) });
    const { node, namespace, labelSelector, fieldSelector } = options;
    this.isWhole = ![node, namespace, labelSelector, fieldSelector].some(Boolean);
    this.#isPartOfChain = node === undefined && !this.isWhole;
    this.#bookmarkIntervalMs = options.bookmarkIntervalMs ?? DEFAULT_BOOKMARK_INTERVAL_MS;
    this.#waiters = new RevisionWaiters({ ...ports, lateMs: CATCH_UP_MS, onLate: () => this.#beginAgain() });
    this.#changes = ports.telemetry.metrics.counter(
      "informer_changes_total",
      "Changes heard by informers, by what served them.",
      ["resource", "by"],
    );
    ports.scope.defer(() => {
      this.#leaveChain();
      this.#suspicion?.cancel();
    });
  }

  get(namespace: string, name: string): T | undefined {
    return this.#store.get(namespace === "" ? name : `${namespace}/${name}`);
  }

  list(): readonly T[] {
    return this.#store.list();
  }

  byIndex(index: string, value: string): readonly T[] {
    return this.#store.byIndex(index, value);
  }

  onChange(hear: (change: InformerChange<T>) => void): () => void {
    this.#handlers.add(hear);
    return () => void this.#handlers.delete(hear);
  }

  synced(): boolean {
    return this.revision() > 0;
  }

  revision(): number {
    let revision = this.#position.whole;
    for (const { first } of this.#fetching.values()) revision = Math.min(revision, first - 1);
    return revision;
  }

  get stats(): InformerStats {
    return { ...this.#stats, onBus: this.#onBus };
  }

  async waitForRevision(revision: number, signal?: AbortSignal): Promise<void> {
    if (this.revision() >= revision) return;
    const reached = this.#waiters.add(revision, signal);
    if (!this.#waiters.haveAsked) this.#askForBookmark();
    await reached;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, telemetry } = this.#ports;
    while (!signal.aborted) {
      try {
        if (!this.#listed) await this.#list(signal);
        await this.#watchUntilJoined(signal);
        if (this.#onBus) await this.#followBus(signal);
        this.#stats.resumes++;
      } catch (error) {
        if (signal.aborted) return;
        this.#onBus = false;
        const isExpired = isStatus(error, "Expired") || isStatus(error, "Gone");
        if (isExpired) this.#beginAgain();
        this.#failures++;
        // A revision that has grown old is nobody's failure; that the list's own is too old, is.
        if (isExpired && this.#failures === 1) continue;
        const delayMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
        telemetry.log.warn("informer: apiserver does not answer", { resource: this.type.resource, error, delayMs });
        await sleep(clock, delayMs * (0.5 + random.next()), signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { items, resourceVersion } = await this.#ports.client.list(this.type, this.#options.namespace ?? "", {
      ...this.#selectors(),
      signal,
    });
    this.#stats.lists++;
    const revision = Number(resourceVersion);
    if (revision < this.#position.whole) throw new Error(`a list of revision ${revision}, older than what is held`);
    this.#listed = true;
    this.#fetching.clear();
    const changes = this.#store.replace(items.map((item) => this.#kept(item)));
    this.#position = { whole: revision };
    for (const change of changes) this.#tell(change, "http");
    this.#wake();
  }

  /**
   * Follows an HTTP watch from the whole revision; returns when it ends or the bus has joined.
   *
   * @throws also when the apiserver ends it at once, before it has shown anything
   */
  async #watchUntilJoined(signal: AbortSignal): Promise<void> {
    if (this.#onBus) return;
    const { client, clock } = this.#ports;
    const from = this.#position.whole;
    const openedMs = clock.monotonicMs();
    const hasServed = (): boolean =>
      this.#onBus || this.#position.whole > from || clock.monotonicMs() - openedMs >= SHORT_WATCH_MS;
    const watch = new AbortController();
    const stop = (): void => watch.abort();
    signal.addEventListener("abort", stop, { once: true });
    const timer = clock.setTimer(WATCH_SECONDS * 1_000 + WATCH_GRACE_MS, stop);
    this.#interrupt = stop;
    try {
      const events = client.watch(this.type, this.#options.namespace ?? "", {
        ...this.#selectors(),
        resourceVersion: String(this.#position.whole),
        timeoutSeconds: WATCH_SECONDS,
        signal: watch.signal,
        onOpen: (apiserver) => this.#enterChain(apiserver),
      });
      for await (const event of events) {
        if (watch.signal.aborted) break;
        if (event.type === "BOOKMARK") this.#markByHttp(Number(event.resourceVersion));
        else this.#applyByHttp(event.type, event.object, event.trace);
      }
      if (!watch.signal.aborted && !hasServed()) throw new Error("the watch ended at once and showed nothing");
    } catch (error) {
      if (!watch.signal.aborted) throw error;
    } finally {
      if (hasServed()) this.#failures = 0;
      this.#interrupt = undefined;
      timer.cancel();
      signal.removeEventListener("abort", stop);
    }
  }

  /** Returns when the bus can no longer be trusted to be whole. */
  #followBus(signal: AbortSignal): Promise<void> {
    const { bus, clock } = this.#ports;
    return new Promise((resolve) => {
      let timer: Timer;
      const leave = (): void => {
        this.#onBus = false;
        this.#interrupt = undefined;
        timer.cancel();
        endStatus?.();
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const listen = (): void => {
        const silentMs = clock.monotonicMs() - this.#heardAtMs;
        const allowedMs = 2 * this.#bookmarkIntervalMs;
        if (silentMs >= allowedMs) leave();
        else timer = clock.setTimer(Math.max(LEAST_TIMER_MS, allowedMs - silentMs), listen);
      };
      const endStatus = bus?.onStatus((connected) => {
        if (!connected) leave();
      });
      listen();
      this.#interrupt = leave;
      signal.addEventListener("abort", leave, { once: true });
      if (!this.#onBus || signal.aborted || !bus?.connected()) leave();
    });
  }

  #enterChain(apiserver: ApiserverIdentity | undefined): void {
    const { bus, scope } = this.#ports;
    if (!bus || !apiserver || scope.closed) return;
    if (this.#chain?.name === apiserver.name) {
      this.#chain = { ...this.#chain, epoch: apiserver.epoch };
      return;
    }
    this.#leaveChain();
    const { node } = this.#options;
    const subject = node
      ? busSubjects.nodePods(apiserver.name, node)
      : busSubjects.changes(apiserver.name, this.type.group, this.type.resource);
    const subscription = bus.subscribe(subject, (message) => {
      const change = readChange(message);
      if (change) this.#hear(change);
    });
    this.#chain = { ...apiserver, subject, subscription };
    this.#askForBookmark();
  }

  /** The bus is silent while nothing changes: who waits for a revision needs a bookmark now. A new list is the net (C10). */
  #askForBookmark(): void {
    if (!this.#chain || !this.#waiters.mustAsk) return;
    const { name, subject } = this.#chain;
    this.#waiters.asked();
    this.#ports.bus?.publish(busSubjects.bookmarkWanted(name), new TextEncoder().encode(subject));
  }

  #leaveChain(): void {
    this.#chain?.subscription.unsubscribe();
    this.#chain = undefined;
  }

  #hear(change: ChangeMessage): void {
    // Another life of this apiserver: the answer to the next HTTP watch will tell which.
    if (change.epoch !== this.#chain?.epoch) return this.#breakBus();
    const { verdict, position } = judge(this.#position, change);
    if (verdict === "gap") return this.#onBus ? this.#breakBus() : this.#suspectWatch(change.previous);
    this.#heardAtMs = this.#ports.clock.monotonicMs();
    if (change.intervalMs !== undefined) this.#bookmarkIntervalMs = change.intervalMs;
    if (verdict === "apply") {
      this.#applyByBus(change);
      this.#position = position;
      this.#wake();
    }
    // That bookmark answers those who asked before it; who came later is not among them.
    if (change.event === "BOOKMARK") this.#askForBookmark();
    if (this.#onBus || !this.#listed) return;
    this.#onBus = true;
    this.#interrupt?.();
  }

  #applyByBus(change: ChangeMessage): void {
    const { event, key, revision, trace } = change;
    if (event === "BOOKMARK") return;
    const inNamespace = !this.#options.namespace || splitKey(key).namespace === this.#options.namespace;
    if (!inNamespace) return;
    if (event === "DELETED") {
      this.#fetching.delete(key);
      const last = change.object() as T | undefined;
      this.#tell(this.#store.remove(key, revision, trace, last && this.#kept(last)), "bus");
      return;
    }
    const object = change.object();
    if (object) this.#tell(this.#put(object as T, trace), "bus");
    else this.#fetch(key, revision, trace);
  }

  #applyByHttp(event: "ADDED" | "MODIFIED" | "DELETED", object: T, trace: InformerChange<T>["trace"]): void {
    const revision = revisionOf(object);
    if (revision <= this.#position.whole) return;
    this.#fetching.delete(keyOf(object));
    const change =
      event === "DELETED"
        ? this.#store.remove(keyOf(object), revision, trace, this.#kept(object))
        : this.#store.put(this.#kept(object), trace);
    this.#position = { whole: revision };
    this.#tell(change, "http");
    this.#wake();
  }

  #markByHttp(revision: number): void {
    if (revision > this.#position.whole) this.#position = { whole: revision };
    this.#wake();
  }

  /** What the selection does not want is not there. */
  #put(object: T, trace: InformerChange<T>["trace"]): InformerChange<T> | undefined {
    const kept = this.#kept(object);
    if (this.#wanted(object)) return this.#store.put(kept, trace);
    return this.#store.remove(keyOf(kept), revisionOf(kept), trace, kept);
  }

  #kept(object: T): T {
    return this.#options.keep?.(object) ?? object;
  }

  /** Asks for an object that was secret or too large to travel. */
  #fetch(key: string, revision: number, trace: InformerChange<T>["trace"]): void {
    const asked = this.#fetching.get(key);
    this.#fetching.set(key, { first: asked?.first ?? revision, last: revision });
    if (!asked)
      this.#ports.scope.run(`fetch ${this.type.resource}`, (signal) => this.#fetchUntilKnown(key, signal, trace));
  }

  async #fetchUntilKnown(key: string, signal: AbortSignal, trace: InformerChange<T>["trace"]): Promise<void> {
    const { namespace, name } = splitKey(key);
    try {
      while (this.#fetching.has(key)) {
        const object = await this.#ports.client.get(this.type, namespace, name, { signal, trace });
        if (revisionOf(object) < (this.#fetching.get(key)?.last ?? 0)) continue;
        if (!this.#fetching.delete(key)) return;
        this.#tell(this.#put(object, trace), "bus");
        this.#wake();
      }
    } catch (error) {
      if (signal.aborted || !this.#fetching.has(key)) return;
      // Deleted meanwhile, or no answer: a new list says which, and is whole again.
      if (!isStatus(error, "NotFound"))
        this.#ports.telemetry.log.warn("informer: cannot fetch", { resource: this.type.resource, key, error });
      this.#beginAgain();
    }
  }

  /** Back to HTTP, if the bus served. */
  #breakBus(): void {
    if (!this.#onBus) return;
    this.#onBus = false;
    this.#interrupt?.();
  }

  /**
   * The watch over HTTP should have shown this revision of our chain: if it still has not in a while, it is dead. One that shows
   * a part of the chain may be well and have nothing to show, now and for ever: there only a list tells where we are.
   */
  #suspectWatch(told: number): void {
    if (this.#suspicion || !this.#listed) return;
    this.#suspicion = this.#ports.clock.setTimer(WATCH_LATE_MS, () => {
      this.#suspicion = undefined;
      if (this.#onBus || this.#position.whole >= told) return;
      if (this.#isPartOfChain) this.#listed = false;
      this.#interrupt?.();
    });
  }

  /** The next thing done is a new list; until then nothing moves. */
  #beginAgain(): void {
    this.#listed = false;
    this.#onBus = false;
    this.#leaveChain();
    this.#interrupt?.();
  }

  #tell(change: InformerChange<T> | undefined, by: "bus" | "http"): void {
    if (!change) return;
    if (by === "bus") this.#stats.changesByBus++;
    else this.#stats.changesByHttp++;
    this.#changes.add({ resource: this.type.resource, by });
    for (const hear of this.#handlers) hear(change);
  }

  #wake(): void {
    this.#waiters.wake(this.revision());
  }

  #selectors(): { labelSelector?: string; fieldSelector?: string } {
    const { node, labelSelector, fieldSelector } = this.#options;
    const fields = node === undefined ? fieldSelector : `spec.nodeName=${node}`;
    return { ...(labelSelector ? { labelSelector } : {}), ...(fields ? { fieldSelector: fields } : {}) };
  }
}
