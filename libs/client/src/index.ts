/**
 * A typed client of the Kubernetes API for our own processes, over a `Transport` port.
 *
 * Promises: each call makes exactly one attempt at one apiserver, unless that apiserver could not be reached at all, when the
 * next one is tried; a Status answer is thrown as `StatusError`. Every request carries the caller's trace context and, for an
 * elected leader, its fence (C11).
 * Does not promise: retries of anything that may have been done.
 */
export type * from "./contract.ts";
export { createApiClient, type ApiClientOptions } from "./api-client.ts";
export { Unreachable } from "./transport.ts";
export type { Transport, TransportRequest, TransportResponse } from "./transport.ts";
export { resources } from "./resources.ts";
