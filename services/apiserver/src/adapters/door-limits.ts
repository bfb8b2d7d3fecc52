/** What the door grants a client, and for how long. docs/limits.md lists them, and a test compares. */
export interface DoorLimits {
  /** Upstream's: twice what etcd takes of one object. */
  readonly bodyBytes: number;
  /** Of all bodies that are being read or answered, together: whoever comes then gets 429. */
  readonly allBodiesBytes: number;
  /** What a client may send beyond the limit and still read its 413; after that it is cut off. */
  readonly discardedBytes: number;
  readonly headerBytes: number;
  /** Upstream's: for the request line and the headers, and for the TLS handshake before them. */
  readonly headersMs: number;
  /** For the request with its body. Answers may take as long as they like. */
  readonly requestMs: number;
  /** For a connection with no request: Go's clients keep theirs for 90 s (wire trap 32). */
  readonly idleMs: number;
  /** A connection on which nothing moves is probed after this long, and given up some ten seconds later. */
  readonly probeMs: number;
  /** A reader that takes nothing of its answer for this long is cut: watches can be resumed, lists asked for again. */
  readonly stalledReaderMs: number;
  /** Of what a kubelet answers to an upgrade, before its bytes are carried on. */
  readonly upgradeAnswerBytes: number;
}

export const DOOR_LIMITS: DoorLimits = {
  bodyBytes: 3 * 1024 * 1024,
  allBodiesBytes: 256 * 1024 * 1024,
  discardedBytes: 64 * 1024 * 1024,
  headerBytes: 1024 * 1024,
  headersMs: 32_000,
  requestMs: 60_000,
  idleMs: 120_000,
  probeMs: 15_000,
  stalledReaderMs: 60_000,
  upgradeAnswerBytes: 64 * 1024,
};
