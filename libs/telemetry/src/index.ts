/**
 * Tracing, logging and metrics as ports.
 *
 * Tracing sits at seams only (queue pop, executor, HTTP, bus, CRI) and never adds an `await` to a decision. A span's parent
 * is a `TraceContext` handed over explicitly: beside a stored object, on a bus message, with a queue key. There is no ambient
 * context. Adapters: `otel.ts` (OpenTelemetry SDK, main.ts only), `memory.ts` (tests, simulation).
 */
import type { TraceContext } from "@pilothouse/api/trace-context";

export { formatTraceparent, parseTraceparent, type TraceContext } from "@pilothouse/api/trace-context";

export interface Telemetry {
  readonly tracer: Tracer;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface Tracer {
  /** Starts a span; the caller ends it. Without a parent it is the root of a new trace. */
  start(name: string, options?: SpanOptions): Span;
}

export interface SpanOptions {
  readonly parent?: TraceContext | undefined;
  /** Other causes (a reconcile that answers several writes). */
  readonly links?: readonly TraceContext[];
  readonly attributes?: SpanAttributes;
  /** Wall-clock milliseconds; default now. For a span about a wait that has already happened. */
  readonly startTimeMs?: number;
  readonly kind?: "internal" | "server" | "client" | "producer" | "consumer";
}

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export interface Span {
  readonly context: TraceContext;
  set(attributes: SpanAttributes): void;
  event(name: string, attributes?: SpanAttributes): void;
  /** Marks the span as failed. */
  fail(error: unknown): void;
  end(endTimeMs?: number): void;
}

/** Runs `work` within a span, which ends with it and fails with it. */
export async function span<T>(
  tracer: Tracer,
  name: string,
  options: SpanOptions,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const current = tracer.start(name, options);
  try {
    return await work(current);
  } catch (error) {
    current.fail(error);
    throw error;
  } finally {
    current.end();
  }
}

/** JSON lines with trace ids in the real adapter. Never hand it secrets or whole objects. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to each line. */
  with(fields: LogFields): Logger;
}

/** `error` may be an Error; `trace` becomes trace_id and span_id. */
export type LogFields = Readonly<Record<string, unknown>> & { readonly error?: unknown; readonly trace?: TraceContext };

export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): Counter;
  gauge(name: string, help: string, labels?: readonly string[]): Gauge;
  /** `bucketsSeconds` are upper bounds. */
  histogram(name: string, help: string, bucketsSeconds: readonly number[], labels?: readonly string[]): Histogram;
  /** The Prometheus text exposition of everything registered. */
  expose(): Promise<string>;
}

export type LabelValues = Readonly<Record<string, string>>;

export interface Counter {
  add(labels?: LabelValues, by?: number): void;
}

export interface Gauge {
  set(value: number, labels?: LabelValues): void;
}

export interface Histogram {
  observe(seconds: number, labels?: LabelValues): void;
}
