/** Spans for tests. */
import type { ServiceSpan } from "@pilothouse/telemetry/span-listener";

export type ImaginedSpan = Partial<ServiceSpan> & { readonly below?: string | undefined };

/** A span of one trace; `below` is its parent's id. */
export function imaginedSpan(
  spanId: string,
  startTimeMs: number,
  endTimeMs: number,
  { below, ...more }: ImaginedSpan = {},
): ServiceSpan {
  const context = { traceId: "abc".padEnd(32, "0"), spanId, sampled: true };
  return {
    service: "apiserver",
    instance: "m",
    host: "m",
    name: spanId,
    context,
    parent: below === undefined ? undefined : { ...context, spanId: below },
    links: [],
    kind: "internal",
    startTimeMs,
    endTimeMs,
    attributes: {},
    events: [],
    error: undefined,
    ...more,
  };
}
