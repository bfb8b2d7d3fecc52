/**
 * The NATS adapter of the bus port: core NATS over one connection (C17).
 *
 * Promises: tries for ever to connect and to reconnect, also when no server is there yet; while it is disconnected nothing
 * is kept, `publish` says false; what is sent and not yet seen by the server is bounded (`maxPendingBytes`).
 * `renew` moves over to a connection with the new certificates, and leaves the old one only when the new one stands and has all
 * subscriptions: around that moment a message may come twice.
 * Does not promise: delivery; that a subscription is known to all servers of a cluster at once.
 * Limits: `maxPayloadBytes` is the server's max_payload as first heard, 1 MiB before.
 */
import { Events, headers as natsHeaders, connect, delay } from "nats";
import type { ConnectionOptions, Msg, NatsConnection, Subscription } from "nats";
import type { Bus, BusHeaders, BusMessage, BusSubscription } from "@pilothouse/bus";
import { isPattern, isPublishable, messageBytes } from "@pilothouse/bus/subject";

export interface NatsBusOptions {
  /** `host:port` each. */
  readonly servers: readonly string[];
  /** The connection's name, as the server's monitoring shows it. */
  readonly name: string;
  readonly user?: string;
  readonly password?: string;
  readonly tls?: NatsTls;
  /** Bytes sent that the server has not confirmed; beyond, `publish` says false. Default 32 MiB. */
  readonly maxPendingBytes?: number;
  /** Default 250. */
  readonly reconnectDelayMs?: number;
  /** How often the connection is tried; it counts as dead after two tries without an answer. Default 5,000. */
  readonly pingIntervalMs?: number;
  /** Called with what the connection reports and with failures of handlers. */
  readonly onError: (error: unknown) => void;
}

/** PEM texts; `ca` may hold several certificates. */
export interface NatsTls {
  readonly ca: string;
  readonly certificate?: string;
  readonly key?: string;
}

export interface NatsBus extends Bus {
  /** The same content changes nothing. */
  renew(tls: NatsTls): void;
}

/** Returns at once; `connected()` turns true when a server is reached. */
export function natsBus(options: NatsBusOptions): NatsBus {
  return new CoreNatsBus(options);
}

interface Interest {
  readonly pattern: string;
  readonly handle: (message: BusMessage) => void;
  subscription: Subscription | undefined;
}

const DEFAULT_MAX_PAYLOAD_BYTES = 2 ** 20;
const CONFIRM_EVERY_BYTES = 2 ** 20;
const OVERLAP_MS = 1_000;
const RECONNECT_DELAY_MS = 250;

class CoreNatsBus implements NatsBus {
  #options: NatsBusOptions;
  readonly #interests = new Set<Interest>();
  readonly #statusListeners = new Set<(connected: boolean) => void>();
  readonly #leaving = new Set<NatsConnection>();
  #connection: NatsConnection | undefined;
  #connected = false;
  #closed = false;
  #sentBytes = 0;
  #confirmedBytes = 0;
  #confirming = false;

  constructor(options: NatsBusOptions) {
    this.#options = options;
    void this.#open();
  }

  get maxPayloadBytes(): number {
    return this.#connection?.info?.max_payload ?? DEFAULT_MAX_PAYLOAD_BYTES;
  }

  publish(subject: string, payload: Uint8Array, headers: BusHeaders = {}): boolean {
    if (!this.#connected || !this.#connection || !isPublishable(subject)) return false;
    const bytes = messageBytes(payload, headers);
    if (bytes > this.maxPayloadBytes) return false;
    if (this.#sentBytes - this.#confirmedBytes > (this.#options.maxPendingBytes ?? 32 * 2 ** 20)) return false;
    try {
      const names = Object.keys(headers);
      if (names.length === 0) this.#connection.publish(subject, payload);
      else this.#connection.publish(subject, payload, { headers: encodeHeaders(headers) });
    } catch (error) {
      this.#options.onError(error);
      return false;
    }
    this.#sentBytes += bytes;
    this.#confirm();
    return true;
  }

  subscribe(pattern: string, handle: (message: BusMessage) => void): BusSubscription {
    if (!isPattern(pattern)) throw new RangeError(`not a bus subject: ${JSON.stringify(pattern)}`);
    const interest: Interest = { pattern, handle, subscription: undefined };
    if (!this.#closed) {
      this.#interests.add(interest);
      if (this.#connection) this.#listen(this.#connection, interest);
    }
    return {
      unsubscribe: () => {
        if (!this.#interests.delete(interest)) return;
        interest.subscription?.unsubscribe();
      },
    };
  }

  connected(): boolean {
    return this.#connected;
  }

  onStatus(notify: (connected: boolean) => void): () => void {
    this.#statusListeners.add(notify);
    return () => void this.#statusListeners.delete(notify);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#interests.clear();
    this.#statusListeners.clear();
    this.#setConnected(false);
    // One that is being made closes itself.
    const connections = this.#connection ? [this.#connection, ...this.#leaving] : [...this.#leaving];
    await Promise.all(connections.map((connection) => connection.close()));
  }

  renew(tls: NatsTls): void {
    const { tls: old } = this.#options;
    if (this.#closed || (old?.ca === tls.ca && old.certificate === tls.certificate && old.key === tls.key)) return;
    this.#options = { ...this.#options, tls };
    void this.#open();
  }

  /** Opens a connection with the options of this moment; when it stands, everything moves over to it. */
  async #open(): Promise<void> {
    const options = this.#options;
    try {
      const connection = await this.#dial(options);
      if (!connection) return;
      const old = this.#connection;
      this.#connection = connection;
      for (const interest of this.#interests) this.#listen(connection, interest);
      this.#confirmedBytes = this.#sentBytes;
      this.#confirming = false;
      this.#setConnected(true);
      if (old) this.#leave(old).catch((error: unknown) => this.#options.onError(error));
      await this.#followStatus(connection);
    } catch (error) {
      this.#options.onError(error);
    }
  }

  /** Tries until a server takes the connection; undefined when these options are not wanted any more. */
  async #dial(options: NatsBusOptions): Promise<NatsConnection | undefined> {
    const isWanted = (): boolean => !this.#closed && options === this.#options;
    let told: string | undefined;
    while (isWanted()) {
      try {
        const connection = await connect(connectionOptions(options));
        if (isWanted()) return connection;
        await connection.close();
      } catch (error) {
        // At the start a server that is not there yet is waited for; that nobody takes renewed certificates must be known.
        if (this.#connection && told !== String(error)) options.onError(error);
        told = String(error);
        await delay(options.reconnectDelayMs ?? RECONNECT_DELAY_MS);
      }
    }
    return undefined;
  }

  /** The servers of a cluster hear of the new subscriptions a moment later: until then messages come by the old ones. */
  async #leave(old: NatsConnection): Promise<void> {
    this.#leaving.add(old);
    await delay(OVERLAP_MS);
    this.#leaving.delete(old);
    await old.close();
  }

  async #followStatus(connection: NatsConnection): Promise<void> {
    for await (const { type, data } of connection.status()) {
      if (connection !== this.#connection) continue;
      if (type === Events.Disconnect) this.#setConnected(false);
      if (type === Events.Reconnect) {
        this.#confirmedBytes = this.#sentBytes;
        this.#setConnected(true);
      }
      if (type === Events.Error) this.#options.onError(new Error(`nats: ${JSON.stringify(data)}`));
    }
  }

  #setConnected(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    for (const notify of this.#statusListeners) notify(connected);
  }

  #listen(connection: NatsConnection, interest: Interest): void {
    interest.subscription = connection.subscribe(interest.pattern, {
      callback: (error, message) => {
        if (error) this.#options.onError(error);
        else if (this.#interests.has(interest)) this.#hand(interest, message);
      },
    });
  }

  #hand(interest: Interest, message: Msg): void {
    try {
      interest.handle({ subject: message.subject, headers: decodeHeaders(message), payload: message.data });
    } catch (error) {
      this.#options.onError(error);
    }
  }

  /** A PONG tells that the server has read all before it: the only sign of back-pressure that NATS gives. */
  #confirm(): void {
    const connection = this.#connection;
    if (this.#confirming || this.#sentBytes - this.#confirmedBytes < CONFIRM_EVERY_BYTES || !connection) return;
    this.#confirming = true;
    const sentBytes = this.#sentBytes;
    connection
      .flush()
      .then(
        () => void (this.#confirmedBytes = Math.max(this.#confirmedBytes, sentBytes)),
        () => undefined,
      )
      .finally(() => {
        if (connection !== this.#connection) return;
        this.#confirming = false;
        if (this.#connected) this.#confirm();
      });
  }
}

function connectionOptions(options: NatsBusOptions): ConnectionOptions {
  const { tls } = options;
  return {
    servers: [...options.servers],
    name: options.name,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: options.reconnectDelayMs ?? RECONNECT_DELAY_MS,
    reconnectJitter: 100,
    reconnectJitterTLS: 100,
    pingInterval: options.pingIntervalMs ?? 5_000,
    maxPingOut: 2,
    // Servers that a cluster tells of may be known to it by addresses that we cannot reach or that our certificates do not name.
    ignoreClusterUpdates: true,
    ignoreAuthErrorAbort: true,
    ...(options.user === undefined ? {} : { user: options.user, pass: options.password ?? "" }),
    ...(tls
      ? {
          tls: {
            ca: tls.ca,
            ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
            ...(tls.key === undefined ? {} : { key: tls.key }),
          },
        }
      : {}),
  };
}

function encodeHeaders(headers: BusHeaders): ReturnType<typeof natsHeaders> {
  const encoded = natsHeaders();
  for (const [name, value] of Object.entries(headers)) encoded.set(name, value);
  return encoded;
}

function decodeHeaders({ headers }: Msg): BusHeaders {
  if (!headers) return {};
  return Object.fromEntries(headers.keys().map((name) => [name, headers.get(name)]));
}
