/**
 * A request to the Kubernetes API and its answer, free of any HTTP library: the door (express, upgrades), the simulation and
 * the tests all speak this to `handle(request)`.
 */
export interface ApiRequest {
  /** Upper case. */
  readonly method: string;
  /** The path, percent-encoded as it came, without query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** The query as it came, for whom it is handed on to; left out where `query` says it all. */
  readonly rawQuery?: string;
  /** Lower-case names; repeated headers joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  /** The whole body; empty when there is none. Limits are the door's. */
  readonly body: Uint8Array;
  readonly peer: Peer;
  /** Aborts when the client has gone, or the server closes. */
  readonly signal: AbortSignal;
}

export interface Peer {
  readonly address: string;
  /** The client certificate, verified against the client CA by the door. */
  readonly certificate?: {
    readonly commonName: string;
    readonly organizations: readonly string[];
    /** Of the certificate itself, in hex; where it is known. */
    readonly sha256?: string;
  };
  /** True when a certificate was shown that the client CA does not vouch for. */
  readonly hasBadCertificate?: boolean;
}

export interface ApiResponse {
  readonly status: number;
  /** Lower-case names. Several `warning` headers are an array. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** Bytes, or frames each to be written as it comes. Ending the iteration early (`return()`) frees what it holds. */
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
  /** Somebody may be reading at their own pace (a log in a pager): a reader that pauses is not cut off. */
  readonly isPatient?: boolean;
  /** Frames of one whole document: what is long may be compressed. Bytes may be without saying so. */
  readonly mayBeCompressed?: boolean;
}
