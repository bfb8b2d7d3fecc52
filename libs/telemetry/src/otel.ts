/**
 * The real adapter: spans by the OpenTelemetry SDK, log lines by pino, metrics by prom-client. For main.ts only.
 *
 * Spans always go to a `SpanOutlet` (ring, and the bus while somebody listens), and by OTLP where an endpoint is set.
 * There is no auto-instrumentation and no ambient context. Queues are bounded: with the collector down spans are dropped
 * and counted in `telemetry_spans_dropped_total`.
 */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { Link, Span as OtelSpan, SpanContext } from "@opentelemetry/api";
import { hrTimeToMilliseconds } from "@opentelemetry/core";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { AlwaysOnSampler, TracerProvider, ParentBasedSampler } from "@opentelemetry/sdk-trace";
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace";
import type { Bus } from "@pilothouse/bus";
import type { Clock, Random } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import type { Span, SpanAttributes, SpanOptions, Telemetry, TraceContext, Tracer } from "./index.ts";
import { jsonLogger, type LogLevel } from "./logger.ts";
import { promMetrics } from "./metrics.ts";
import { SpanOutlet } from "./span-outlet.ts";
import type { ServiceSpan } from "./span-record.ts";
import { randomSpanId, randomTraceId } from "./trace-ids.ts";

export interface OtelTelemetryOptions {
  /** `apiserver`, `scheduler`, … */
  readonly service: string;
  /** Which of several processes of the service: the machine's or the process's name. */
  readonly instance: string;
  /** The machine's own name. */
  readonly host: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly scope: Scope;
  readonly bus: Bus;
  readonly logLevel?: LogLevel;
  /** `http://collector:4318`, say; without one nothing but the bus hears of spans. */
  readonly otlpEndpoint?: string | undefined;
}

/** Log lines wait a moment in the process: the owner flushes them before it ends. */
export interface OtelTelemetry extends Telemetry {
  readonly flush: () => void;
}

export async function otelTelemetry(options: OtelTelemetryOptions): Promise<OtelTelemetry> {
  const { service, instance, host, clock, random, scope, bus } = options;
  const metrics = promMetrics(service);
  const dropped = metrics.counter("telemetry_spans_dropped_total", "Spans that nobody got.", ["to"]);
  const outlet = new SpanOutlet({ service, bus, clock, scope, dropped });
  const processors: SpanProcessor[] = [outletProcessor(outlet, { service, instance, host })];
  if (options.otlpEndpoint) {
    // Loaded only here: it costs 100 ms at start and 25 MB in every process that does not need it.
    const { otlpProcessor } = await import("./otlp.ts");
    processors.push(otlpProcessor({ endpoint: options.otlpEndpoint, clock, scope, dropped }));
  }
  const provider = new TracerProvider({
    idGenerator: { generateTraceId: () => randomTraceId(random), generateSpanId: () => randomSpanId(random) },
    resource: resourceFromAttributes({ "service.name": service, "service.instance.id": instance, "host.name": host }),
    sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    spanProcessors: processors,
  });
  const logger = jsonLogger({
    clock,
    base: { service, instance },
    ...(options.logLevel ? { level: options.logLevel } : {}),
  });
  return { tracer: tracerOf(provider, clock), ...logger, metrics };
}

const KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

const KIND_NAMES = {
  [SpanKind.INTERNAL]: "internal",
  [SpanKind.SERVER]: "server",
  [SpanKind.CLIENT]: "client",
  [SpanKind.PRODUCER]: "producer",
  [SpanKind.CONSUMER]: "consumer",
} as const;

function tracerOf(provider: TracerProvider, clock: Clock): Tracer {
  const tracer = provider.getTracer("pilothouse");
  return {
    start(name: string, options: SpanOptions = {}): Span {
      const parent = options.parent ? trace.setSpanContext(ROOT_CONTEXT, spanContextOf(options.parent)) : ROOT_CONTEXT;
      const otel = tracer.startSpan(
        name,
        {
          kind: KINDS[options.kind ?? "internal"],
          links: (options.links ?? []).map((link): Link => ({ context: spanContextOf(link) })),
          startTime: hrTime(options.startTimeMs ?? clock.now()),
          ...(options.attributes ? { attributes: { ...options.attributes } } : {}),
        },
        parent,
      );
      return portOf(otel, clock);
    },
  };
}

function portOf(span: OtelSpan, clock: Clock): Span {
  return {
    context: traceContextOf(span.spanContext()),
    set: (attributes) => void span.setAttributes({ ...attributes }),
    event: (name, attributes) => void span.addEvent(name, { ...attributes }, hrTime(clock.now())),
    fail: (error) =>
      void span.setStatus({
        code: SpanStatusCode.ERROR,
        message: error instanceof Error ? error.message : String(error),
      }),
    end: (endTimeMs) => span.end(hrTime(endTimeMs ?? clock.now())),
  };
}

/** Seconds and nanoseconds. The SDK takes a small plain number for a reading of performance.now(), and adds that clock's start. */
function hrTime(timeMs: number): [number, number] {
  const seconds = Math.floor(timeMs / 1_000);
  return [seconds, Math.round((timeMs - seconds * 1_000) * 1_000_000)];
}

/** What a span says of the process that it comes from. */
type Origin = Pick<ServiceSpan, "service" | "instance" | "host">;

function outletProcessor(outlet: SpanOutlet, origin: Origin): SpanProcessor {
  return {
    onStart: () => {},
    onEnd: (span) => outlet.record(recordOf(span, origin)),
    forceFlush: async () => {},
    shutdown: async () => {},
  };
}

function recordOf(span: ReadableSpan, origin: Origin): ServiceSpan {
  return {
    ...origin,
    name: span.name,
    context: traceContextOf(span.spanContext()),
    parent: span.parentSpanContext ? traceContextOf(span.parentSpanContext) : undefined,
    links: span.links.map((link) => traceContextOf(link.context)),
    kind: KIND_NAMES[span.kind],
    startTimeMs: hrTimeToMilliseconds(span.startTime),
    endTimeMs: hrTimeToMilliseconds(span.endTime),
    attributes: span.attributes as SpanAttributes,
    events: span.events.map((event) => ({
      name: event.name,
      timeMs: hrTimeToMilliseconds(event.time),
      attributes: (event.attributes ?? {}) as SpanAttributes,
    })),
    error: span.status.code === SpanStatusCode.ERROR ? (span.status.message ?? "failed") : undefined,
  };
}

function spanContextOf({ traceId, spanId, sampled }: TraceContext): SpanContext {
  return { traceId, spanId, traceFlags: sampled ? 1 : 0, isRemote: true };
}

function traceContextOf({ traceId, spanId, traceFlags }: SpanContext): TraceContext {
  return { traceId, spanId, sampled: (traceFlags & 1) === 1 };
}
