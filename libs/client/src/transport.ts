/** How requests reach one apiserver: HTTPS in the real adapter, a direct call in the simulation. */
export interface Transport {
  /** The apiserver's name as its bus feed has it; learnt from the `pilothouse-apiserver` response header when unknown. */
  readonly endpoint: string;
  /**
   * Resolves with status and headers as soon as they are there; the body follows. Rejects only when there is no answer:
   * with `Unreachable` when surely nothing was sent, with anything else when the request may have been carried out.
   */
  send(request: TransportRequest): Promise<TransportResponse>;
  close(): Promise<void>;
}

export interface TransportRequest {
  readonly method: string;
  /** With query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Also ends the body. */
  readonly signal?: AbortSignal;
  /** A body of lines may end early, between two of them: the caller goes on by another request, as after any watch's end. */
  readonly resumable?: boolean;
  /** Until the headers are there; default 10,000. */
  readonly deadlineMs?: number;
}

export interface TransportResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
}

/** The apiserver was never reached: the request was surely not carried out, another one may be asked. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";
  constructor(endpoint: string, cause: unknown) {
    super(`${endpoint} cannot be reached: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
