/** An ended span as plain data: what the memory adapter keeps and what travels on the bus. */
import type { SpanAttributes, SpanOptions, TraceContext } from "./index.ts";

export interface RecordedSpan {
  readonly name: string;
  readonly context: TraceContext;
  readonly parent: TraceContext | undefined;
  readonly links: readonly TraceContext[];
  readonly kind: NonNullable<SpanOptions["kind"]>;
  /** Wall clock. */
  readonly startTimeMs: number;
  readonly endTimeMs: number;
  readonly attributes: SpanAttributes;
  readonly events: readonly RecordedEvent[];
  /** Why it failed; undefined when it did not. */
  readonly error: string | undefined;
}

export interface RecordedEvent {
  readonly name: string;
  readonly timeMs: number;
  readonly attributes: SpanAttributes;
}

/** A span with the process it comes from. */
export interface ServiceSpan extends RecordedSpan {
  readonly service: string;
  /** Which of several processes of the service. */
  readonly instance: string;
  /** The machine it runs on, whose clock its times are of. */
  readonly host: string;
}

/** Cuts spans into JSON arrays of at most about `maxBytes` each; a span that alone is over it is left out. */
export function encodeSpans(spans: readonly ServiceSpan[], maxBytes: number): Uint8Array[] {
  const encoder = new TextEncoder();
  const messages: Uint8Array[] = [];
  let parts: string[] = [];
  let bytes = 2;
  const flush = (): void => {
    if (parts.length > 0) messages.push(encoder.encode(`[${parts.join(",")}]`));
    parts = [];
    bytes = 2;
  };
  for (const span of spans) {
    const text = JSON.stringify(span);
    const size = Buffer.byteLength(text) + 1;
    if (size + 2 > maxBytes) continue;
    if (bytes + size > maxBytes) flush();
    parts.push(text);
    bytes += size;
  }
  flush();
  return messages;
}

/** The spans of a message; none when it is not one of ours. */
export function decodeSpans(payload: Uint8Array): readonly ServiceSpan[] {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(payload));
    return Array.isArray(value)
      ? (value as ServiceSpan[]).filter((span) => typeof span?.name === "string").map(withHost)
      : [];
  } catch {
    return [];
  }
}

/** A process of a version before this one does not say its machine: it counts as one of its own. */
function withHost(span: ServiceSpan): ServiceSpan {
  return (span.host as string | undefined) === undefined ? { ...span, host: span.instance } : span;
}
