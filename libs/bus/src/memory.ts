/** The memory adapter of the bus port: one broker in the process, as many connections as asked for. */
import type { Bus, BusMessage, BusSubscription } from "./index.ts";
import { isPattern, isPublishable, messageBytes, subjectMatches } from "./subject.ts";

export interface MemoryBroker {
  /** A connection of its own: it hears what all connections publish, itself included. */
  connect(): Bus;
  /** Cuts or heals all connections. While cut, messages are lost and `publish` returns false. */
  setUp(up: boolean): void;
}

interface Subscriber {
  readonly pattern: string;
  readonly handle: (message: BusMessage) => void;
  live: boolean;
}

/** Messages are delivered in microtasks, in the order of their publishing, never inside `publish`. */
export function memoryBroker({ maxPayloadBytes = 2 ** 20 } = {}): MemoryBroker {
  const subscribers = new Set<Subscriber>();
  const statusListeners = new Set<(connected: boolean) => void>();
  let up = true;
  return {
    connect: () => new MemoryBus(maxPayloadBytes, subscribers, statusListeners, () => up),
    setUp(next) {
      if (up === next) return;
      up = next;
      for (const notify of statusListeners) notify(up);
    },
  };
}

/** A broker of its own with one connection, for tests that need no more. */
export function memoryBus(): Bus {
  return memoryBroker().connect();
}

class MemoryBus implements Bus {
  readonly maxPayloadBytes: number;
  readonly #subscribers: Set<Subscriber>;
  readonly #statusListeners: Set<(connected: boolean) => void>;
  readonly #up: () => boolean;
  readonly #own = new Set<() => void>();
  #closed = false;

  constructor(
    maxPayloadBytes: number,
    subscribers: Set<Subscriber>,
    statusListeners: Set<(connected: boolean) => void>,
    up: () => boolean,
  ) {
    this.maxPayloadBytes = maxPayloadBytes;
    this.#subscribers = subscribers;
    this.#statusListeners = statusListeners;
    this.#up = up;
  }

  publish(subject: string, payload: Uint8Array, headers: Readonly<Record<string, string>> = {}): boolean {
    if (!this.connected() || !isPublishable(subject)) return false;
    if (messageBytes(payload, headers) > this.maxPayloadBytes) return false;
    const message: BusMessage = { subject, headers: { ...headers }, payload };
    for (const subscriber of this.#subscribers)
      if (subjectMatches(subscriber.pattern, subject))
        queueMicrotask(() => {
          if (subscriber.live) subscriber.handle(message);
        });
    return true;
  }

  subscribe(pattern: string, handle: (message: BusMessage) => void): BusSubscription {
    if (!isPattern(pattern)) throw new RangeError(`not a bus subject: ${JSON.stringify(pattern)}`);
    const subscriber: Subscriber = { pattern, handle, live: !this.#closed };
    const end = (): void => {
      subscriber.live = false;
      this.#subscribers.delete(subscriber);
      this.#own.delete(end);
    };
    if (subscriber.live) {
      this.#subscribers.add(subscriber);
      this.#own.add(end);
    }
    return { unsubscribe: end };
  }

  connected(): boolean {
    return this.#up() && !this.#closed;
  }

  onStatus(notify: (connected: boolean) => void): () => void {
    const end = (): void => {
      this.#statusListeners.delete(notify);
      this.#own.delete(end);
    };
    this.#statusListeners.add(notify);
    this.#own.add(end);
    return end;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const end of this.#own) end();
  }
}
