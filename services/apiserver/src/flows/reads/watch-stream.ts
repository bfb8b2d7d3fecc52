/**
 * The body of one watch: frames of all that is ready, pulled by whoever writes them to the client.
 *
 * It holds no queue: it is a position in the kind's shared history, so that a slow client costs nothing but its place, which
 * it loses (410) when the history has moved on.
 */
import type { Timer } from "@pilothouse/clock";
import { expired, type StatusError } from "@pilothouse/errors";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import type { JoinedFrames } from "../../cache/joined-frames.ts";
import type { EntryChange } from "../../cache/kind-cache.ts";
import type { Follower } from "../../cache/watch-cache.ts";
import type { Form, Shown } from "../../core/forms/form.ts";
import type { CacheEntry } from "../../core/model.ts";
import { seenChange, type Selection } from "../../core/select.ts";
import { atRevision } from "../../core/stored/stored.ts";
import { paceOf } from "../pace.ts";
import { shared, type ReadPorts } from "./read.ts";

export interface StreamPorts extends ReadPorts {
  readonly joined: JoinedFrames;
}

export interface WatchSource {
  readonly kind: KindDefinition;
  /** "" for all. */
  readonly namespace: string;
  readonly selection: Selection;
  readonly form: Form;
  /** Changes after this revision follow. */
  readonly revision: number;
  readonly initial: readonly CacheEntry[];
  readonly endsInitialEvents: boolean;
}

export interface WatchLimits {
  readonly allowBookmarks: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A frame holds what is ready up to about this size: what a watcher that stops reading may cost, twice. */
const FRAME_BYTES = 128 << 10;
const BOOKMARK_EVERY_MS = 60_000;
/** The last bookmark comes this long before the end. */
const LAST_BOOKMARK_MS = 2_000;
/** After this many changes that the selection did not see, it looks whether others are due. */
const UNSEEN_A_PAUSE = 500;

type Ending = "open" | "afterThis" | "closed";

export class WatchStream implements AsyncIterableIterator<Uint8Array> {
  readonly #ports: StreamPorts;
  readonly #source: WatchSource;
  readonly #limits: WatchLimits;
  readonly #follower: Follower | undefined;
  readonly #timers: Set<Timer> = new Set();
  readonly #onAbort = (): void => this.#close();
  readonly #pace: () => Promise<void> | undefined;
  #initialSent = 0;
  #owesEndOfInitial: boolean;
  #owesBookmark = false;
  #sentEvent = false;
  #ending: Ending = "open";
  #wake: (() => void) | undefined;
  /** Something has happened since `#ready` looked. */
  #isWoken = false;

  constructor(ports: StreamPorts, source: WatchSource, limits: WatchLimits) {
    this.#ports = ports;
    this.#source = source;
    this.#limits = limits;
    this.#pace = paceOf(ports.clock);
    this.#owesEndOfInitial = source.endsInitialEvents;
    this.#follower = ports.cache.follow(source.kind, source.revision, () => this.#wakeUp());
    limits.signal.addEventListener("abort", this.#onAbort, { once: true });
    if (limits.signal.aborted) this.#close();
    this.#arm(limits.timeoutMs, () => this.#close());
    if (limits.allowBookmarks) this.#armBookmarks();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    let hasWaited = false;
    while (this.#ending === "open") {
      this.#isWoken = false;
      const frames = await this.#ready();
      if (frames.length > 0) {
        if (!hasWaited) await this.#pace();
        return { done: false, value: this.#ports.joined.join(frames) };
      }
      if (!this.#isOpen() || this.#isWoken) continue;
      await this.#woken();
      hasWaited = true;
    }
    this.#close();
    return { done: true, value: undefined };
  }

  return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** All that can be sent now, up to a frame's size, in order: initial events, their end, changes, a bookmark. */
  async #ready(): Promise<Uint8Array[]> {
    const frames: Uint8Array[] = [];
    let bytes = 0;
    const add = (frame: Uint8Array): boolean => {
      frames.push(frame);
      bytes += frame.length;
      return bytes < FRAME_BYTES;
    };
    const { initial, form } = this.#source;
    while (this.#initialSent < initial.length) {
      const entry = initial[this.#initialSent++] as CacheEntry;
      if (!add(this.#event("ADDED", form.shareKey, entry, () => entry))) return frames;
    }
    if (this.#owesEndOfInitial) {
      this.#owesEndOfInitial = false;
      if (!add(form.bookmark(String(this.#source.revision), true))) return frames;
    }
    for (let unseen = 0; this.#isOpen();) {
      // A bookmark may tell this revision only if no change up to it is left, so it is taken first.
      const revision = this.#ports.cache.revision();
      const change = this.#follower ? this.#follower.next() : "tooOld";
      if (change === undefined) {
        if (this.#owesBookmark && revision >= this.#source.revision) {
          this.#owesBookmark = false;
          add(form.bookmark(String(revision), false));
        }
        return frames;
      }
      if (change === "ended" || change === "tooOld") {
        if (change === "tooOld") add(form.error(this.#tooSlow().status));
        this.#ending = "afterThis";
        return frames;
      }
      const frame = this.#frameOf(change);
      if (frame) {
        if (!add(frame)) return frames;
      } else if (++unseen % UNSEEN_A_PAUSE === 0) await this.#pace();
    }
    return frames;
  }

  #frameOf(change: EntryChange): Uint8Array | undefined {
    const { namespace, selection, kind, form } = this.#source;
    if (kind.namespaced && namespace !== "" && change.entry.namespace !== namespace) return undefined;
    const seen = seenChange(change, (entry) => selection.matches(entry));
    if (!seen) return undefined;
    if (seen.shows === "entry") return this.#event(seen.type, form.changeShareKey, change, () => change.entry);
    return this.#event("left", form.changeShareKey, change, () => lastSeen(change));
  }

  /** A frame, made once for all watchers that send the same of the same subject. */
  #event(
    use: "ADDED" | "MODIFIED" | "DELETED" | "left",
    key: string | undefined,
    subject: object,
    show: () => Shown,
  ): Uint8Array {
    const isFirst = !this.#sentEvent;
    this.#sentEvent = true;
    const type = use === "left" ? "DELETED" : use;
    const encode = (): Uint8Array => this.#source.form.event(type, show(), isFirst);
    return shared(this.#ports.encodings, key, `event ${use}`, subject, encode);
  }

  #tooSlow(): StatusError {
    const { cache } = this.#ports;
    return tooOld(this.#source.revision, cache.floor(this.#source.kind));
  }

  #isOpen(): boolean {
    return this.#ending === "open";
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #wakeUp(): void {
    this.#isWoken = true;
    this.#wake?.();
    this.#wake = undefined;
  }

  #arm(delayMs: number, run: () => void): void {
    const timer = this.#ports.clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
  }

  #armBookmarks(): void {
    const { timeoutMs } = this.#limits;
    const bookmark = (): void => {
      this.#owesBookmark = true;
      this.#wakeUp();
    };
    const repeat = (): void => {
      bookmark();
      this.#arm(BOOKMARK_EVERY_MS, repeat);
    };
    this.#arm(BOOKMARK_EVERY_MS, repeat);
    if (timeoutMs > LAST_BOOKMARK_MS) this.#arm(timeoutMs - LAST_BOOKMARK_MS, bookmark);
  }

  #close(): void {
    this.#ending = "closed";
    this.#follower?.close();
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#limits.signal.removeEventListener("abort", this.#onAbort);
    this.#wakeUp();
  }
}

/** How upstream words it, for those who come too late as for those who read too slowly. */
export function tooOld(revision: number, floor: number): StatusError {
  return expired(`too old resource version: ${revision} (${floor})`);
}

/** What left a watcher's view: the object as it last matched, at the revision by which it stopped. */
function lastSeen({ entry, previous }: EntryChange): Shown {
  if (!previous) return entry;
  return { bytes: atRevision(previous.bytes, previous.revision, entry.revision), trace: entry.trace };
}
