/** How requests reach one apiserver: HTTPS in the real adapter, a direct call in the simulation. */
export interface Transport {
  /** The apiserver's name as its bus feed has it; learnt from the `pilothouse-apiserver` response header when unknown. */
  readonly endpoint: string;
  /** Resolves with status and headers as soon as they are there; the body follows. Rejects only when there is no answer. */
  send(request: TransportRequest): Promise<TransportResponse>;
  close(): Promise<void>;
}

export interface TransportRequest {
  readonly method: string;
  /** With query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly signal?: AbortSignal;
  /** Until the headers are there; default 10,000. */
  readonly deadlineMs?: number;
}

export interface TransportResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
}
