/**
 * Tracing, logging and metrics as ports.
 *
 * Tracing sits at seams only (queue pop, executor, HTTP, bus, CRI) and never adds an `await` to a decision. A span's parent
 * is a `TraceContext` handed over explicitly: beside a stored object, on a bus message, with a queue key. There is no ambient
 * context. Adapters: `otel.ts` (OpenTelemetry SDK, main.ts only), `memory.ts` (tests, simulation).
 */
export interface Telemetry {
  readonly tracer: Tracer;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** The W3C trace context of a span. */
export interface TraceContext {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  readonly sampled: boolean;
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

/** `00-<trace>-<span>-01`, or undefined for anything else. */
export function parseTraceparent(text: string | undefined): TraceContext | undefined {
  const match = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(text ?? "");
  if (!match || /^0+$/.test(match[1] as string) || /^0+$/.test(match[2] as string)) return undefined;
  return {
    traceId: match[1] as string,
    spanId: match[2] as string,
    sampled: (Number.parseInt(match[3] as string, 16) & 1) === 1,
  };
}

export function formatTraceparent(context: TraceContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? "01" : "00"}`;
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
