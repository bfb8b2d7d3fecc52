/**
 * The bus port: news between processes (design invariant 2: never truth).
 *
 * Purpose: publish bytes under a subject, hear those of subjects one subscribed to.
 * Promises: from one publisher over one connection, messages that arrive arrive in order. Handlers run synchronously, one
 * message at a time, and must not throw.
 * Does not promise: delivery. Any message may be lost, doubled, or late, also silently just after `subscribe`.
 * Limits: `maxPayloadBytes` of headers and payload together; a larger message makes `publish` return false.
 */
export interface Bus {
  readonly maxPayloadBytes: number;
  /** False when the message could not even be handed over: too large, or disconnected with a full buffer. Never throws. */
  publish(subject: string, payload: Uint8Array, headers?: BusHeaders): boolean;
  /** `pattern` may hold `*` (one token) and end in `>` (all that follow). */
  subscribe(pattern: string, handle: (message: BusMessage) => void): BusSubscription;
  /** True while connected. */
  connected(): boolean;
  /** Calls back on each change of `connected()`; returns what ends it. */
  onStatus(notify: (connected: boolean) => void): () => void;
  close(): Promise<void>;
}

export type BusHeaders = Readonly<Record<string, string>>;

export interface BusMessage {
  readonly subject: string;
  readonly headers: BusHeaders;
  readonly payload: Uint8Array;
}

export interface BusSubscription {
  unsubscribe(): void;
}

/**
 * One subject token from any text, injectively (C16): letters, digits, `-` and `_`-free text stay; everything else becomes
 * `=XX` of its UTF-8 bytes; the empty text becomes `_`.
 */
export function busToken(text: string): string {
  if (text === "") return "_";
  if (PLAIN_TOKEN.test(text)) return text;
  let out = "";
  for (const byte of new TextEncoder().encode(text)) {
    const char = String.fromCharCode(byte);
    out += /[A-Za-z0-9-]/.test(char) ? char : `=${byte.toString(16).padStart(2, "0")}`;
  }
  return out;
}

const PLAIN_TOKEN = /^[A-Za-z0-9-]+$/;

/** Subjects of Pilothouse, in one table. */
export const busSubjects = {
  /** All changes of a resource, as one apiserver tells them. */
  changes: (apiserver: string, group: string, resource: string): string =>
    `changes.${busToken(apiserver)}.${busToken(group || "core")}.${busToken(resource)}`,
  /** Changes of the pods of one node. */
  nodePods: (apiserver: string, node: string): string =>
    `changes.${busToken(apiserver)}.core.pods.node.${busToken(node)}`,
  /** Who waits for a revision asks here for a bookmark of one chain now; the payload is that chain's subject. */
  bookmarkWanted: (apiserver: string): string => `bookmarks.${busToken(apiserver)}`,
  /** The beats of an election's leader. */
  leaderBeat: (election: string): string => `leaders.${busToken(election)}`,
  /** Spans of one service, while somebody listens. */
  spans: (service: string): string => `telemetry.spans.${busToken(service)}`,
  /** Listeners of spans announce themselves here; services publish spans only while they hear one. */
  spanListeners: "telemetry.listeners",
} as const;

/** Header names of a change on the bus. */
export const changeHeaders = {
  /** ADDED, MODIFIED, DELETED or BOOKMARK. */
  type: "Ph-Type",
  /** The change's revision (resourceVersion), decimal. */
  revision: "Ph-Revision",
  /**
   * The revision of the change before it in the same chain, decimal. For the first change of a chain: the revision at which
   * this epoch's feed began (what lies before was never told on it), never 0. A BOOKMARK has the last change's revision here
   * and does not itself become anybody's previous, so that a lost bookmark costs nothing.
   */
  previous: "Ph-Previous",
  /**
   * `2/3`: the second of three changes of one revision in this chain, all with the same `previous` (a lease that ends takes
   * all its objects at once). Absent: the only one.
   */
  part: "Ph-Part",
  /** On a BOOKMARK: milliseconds until the chain's next one at the latest. A consumer takes twice that in silence for a fault. */
  interval: "Ph-Interval",
  /** The apiserver's incarnation. */
  epoch: "Ph-Epoch",
  /** `namespace/name` (or `name`) of the object: all there is when the payload is empty because it was too large or secret. */
  key: "Ph-Key",
  uid: "Ph-Uid",
  traceparent: "traceparent",
} as const;
