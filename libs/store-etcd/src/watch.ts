/**
 * One watch on one stream of its own, resumed across breaks (C4).
 *
 * The position is the revision after the last whole revision handed over. It moves by events only: the header of an answer
 * may be ahead of what the watcher was sent, and a progress answer of etcd 3.4 can be false.
 */
import type { ChannelCredentials, ClientDuplexStream } from "@grpc/grpc-js";
import type { Clock, Timer } from "@pilothouse/clock";
import type { StoreChange, StoreWatch, WatchEnd, WatchOptions } from "@pilothouse/store";
import type { IWatchRequest, IWatchResponse } from "etcd3";
import { Connection } from "./connection.ts";
import { EndpointChoice } from "./endpoints.ts";
import { safeNumber, toChange } from "./messages.ts";

export interface WatchTransport {
  readonly endpoints: readonly string[];
  /** Of this moment. */
  readonly channel: () => ChannelCredentials;
  readonly clock: Clock;
}

type WatchStream = ClientDuplexStream<IWatchRequest, IWatchResponse>;

/** From the start of dialling to etcd's word that the watch exists. */
const CREATED_WITHIN_MS = 3_000;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1_000;

export class EtcdWatch implements StoreWatch {
  readonly #transport: WatchTransport;
  readonly #options: WatchOptions;
  readonly #forget: () => void;
  readonly #choice: EndpointChoice;
  #nextRevision: number;
  #pauseMs = 0;
  #endpoint = -1;
  #ended = false;
  #attempt: Attempt | undefined;
  /** A stream with newer credentials, which takes the place of `#attempt` when it stands. */
  #successor: Attempt | undefined;
  #pause: Timer | undefined;
  #moveAgain: Timer | undefined;

  constructor(transport: WatchTransport, options: WatchOptions, forget: () => void) {
    this.#transport = transport;
    this.#options = options;
    this.#forget = forget;
    this.#choice = new EndpointChoice(transport.endpoints.length);
    this.#nextRevision = options.startRevision;
    this.#dial();
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#pause?.cancel();
    this.#dropSuccessor();
    this.#attempt?.stop();
    this.#forget();
  }

  /** Ends the watch from the store's side. */
  end(cause: WatchEnd): void {
    if (this.#ended) return;
    this.close();
    this.#options.onEnd(cause);
  }

  reconnect(): void {
    if (this.#ended || !this.#attempt) return;
    this.#pauseMs = 0;
    this.#broken();
  }

  /** Opens a stream with the credentials of this moment beside the old one, which is left when the new one stands. */
  moveOver(): void {
    this.#dropSuccessor();
    // Between two streams: the next one has them anyway.
    if (this.#ended || !this.#attempt) return;
    if (!this.#attempt.wasCreated) return this.#broken();
    this.#successor = this.#open();
    this.#start(this.#successor);
  }

  #promote(successor: Attempt): void {
    this.#attempt?.stop();
    this.#attempt = successor;
    this.#successor = undefined;
  }

  #moveLater(): void {
    this.#dropSuccessor();
    this.#moveAgain = this.#transport.clock.setTimer(LONGEST_PAUSE_MS, () => this.moveOver());
  }

  #dropSuccessor(): void {
    this.#moveAgain?.cancel();
    this.#successor?.stop();
    this.#successor = undefined;
  }

  #dial(): void {
    this.#endpoint = this.#choice.pick(this.#transport.clock.monotonicMs(), this.#endpoint);
    this.#attempt = this.#open();
    this.#start(this.#attempt);
  }

  #open(): Attempt {
    const { endpoints, clock, channel } = this.#transport;
    const connection = new Connection(endpoints[this.#endpoint] as string, channel(), clock);
    const attempt: Attempt = new Attempt(connection, clock, {
      onResponse: (response) => {
        if (attempt === this.#successor && response.created && !response.canceled) this.#promote(attempt);
        this.#take(attempt, response);
      },
      onBreak: () => {
        if (attempt === this.#attempt) this.#broken();
        else if (attempt === this.#successor) this.#moveLater();
      },
    });
    return attempt;
  }

  #start(attempt: Attempt): void {
    const { range, withPrevious = false } = this.#options;
    attempt.start({
      key: Buffer.from(range.from),
      range_end: Buffer.from(range.to),
      start_revision: this.#nextRevision,
      prev_kv: withPrevious,
      fragment: true,
    });
  }

  #take(attempt: Attempt, response: IWatchResponse): void {
    if (this.#ended || this.#attempt !== attempt) return;
    if (response.canceled) {
      const compactRevision = safeNumber(response.compact_revision);
      if (compactRevision > 0) this.end({ reason: "compacted", compactRevision });
      else this.#broken();
      return;
    }
    if (response.created) {
      attempt.created();
      this.#pauseMs = 0;
      this.#choice.worked(this.#endpoint);
      this.#options.onHealth?.(true);
    }
    if (this.#ended || this.#attempt !== attempt) return;
    this.#hand(attempt.collect(response));
  }

  #hand(changes: readonly StoreChange[]): void {
    const fresh = changes.filter((change) => revisionOf(change) >= this.#nextRevision);
    const last = fresh.at(-1);
    if (!last) return;
    this.#nextRevision = revisionOf(last) + 1;
    this.#options.onChanges(fresh);
  }

  /** Drops the stream, with all of an unfinished revision that it has brought, and dials again after a pause. */
  #broken(): void {
    const { clock } = this.#transport;
    const wasCreated = this.#attempt?.wasCreated ?? false;
    this.#dropSuccessor();
    this.#attempt?.stop();
    this.#attempt = undefined;
    this.#choice.failed(this.#endpoint, clock.monotonicMs());
    this.#pause = clock.setTimer(this.#pauseMs, () => this.#dial());
    this.#pauseMs = Math.min(Math.max(FIRST_PAUSE_MS, this.#pauseMs * 2), LONGEST_PAUSE_MS);
    if (wasCreated) this.#options.onHealth?.(false);
  }
}

interface AttemptEvents {
  onResponse(response: IWatchResponse): void;
  onBreak(): void;
}

/** One stream on one connection, from dialling to its end. */
class Attempt {
  readonly #connection: Connection;
  readonly #events: AttemptEvents;
  readonly #timer: Timer;
  #stream: WatchStream | undefined;
  /** The beginning of a revision that may go on. */
  #rest: readonly StoreChange[] = [];
  #stopped = false;
  wasCreated = false;

  constructor(connection: Connection, clock: Clock, events: AttemptEvents) {
    this.#connection = connection;
    this.#events = events;
    this.#timer = clock.setTimer(CREATED_WITHIN_MS, () => this.#break());
  }

  start(request: NonNullable<IWatchRequest["create_request"]>): void {
    const stream = this.#connection.stream<IWatchRequest, IWatchResponse>("Watch", "watch");
    this.#stream = stream;
    stream.on("data", (response: IWatchResponse) => void (this.#stopped || this.#events.onResponse(response)));
    stream.on("error", () => this.#break());
    stream.on("end", () => this.#break());
    stream.write({ create_request: request });
  }

  created(): void {
    this.wasCreated = true;
    this.#timer.cancel();
  }

  /**
   * The changes of all revisions that are surely whole. The last revision of a fragment may go on in the next one; those
   * before it do not, so that a connection that breaks at every fragment still gets ahead.
   */
  collect(response: IWatchResponse): readonly StoreChange[] {
    const changes = [...this.#rest, ...response.events.map(toChange)];
    const last = changes.at(-1);
    const cut =
      response.fragment && last
        ? changes.findIndex((change) => revisionOf(change) === revisionOf(last))
        : changes.length;
    this.#rest = changes.slice(cut);
    return changes.slice(0, cut);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer.cancel();
    this.#stream?.cancel();
    this.#connection.close();
  }

  #break(): void {
    if (!this.#stopped) this.#events.onBreak();
  }
}

function revisionOf(change: StoreChange): number {
  return change.type === "put" ? change.entry.modRevision : change.modRevision;
}
