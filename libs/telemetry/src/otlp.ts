/** Spans to an OpenTelemetry collector by OTLP over HTTP: one bounded queue, one export at a time, each with a deadline. */
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace";
import { withDeadline } from "@pilothouse/clock";
import type { Clock, Timer } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import type { Counter } from "./index.ts";

export interface OtlpOptions {
  readonly endpoint: string;
  readonly clock: Clock;
  readonly scope: Scope;
  readonly dropped: Counter;
}

/** How spans leave; the OTLP exporter, or a test's. */
export interface SpanSink {
  export(spans: readonly ReadableSpan[]): Promise<void>;
}

const MAX_QUEUE = 4_096;
const MAX_BATCH = 512;
const DELAY_MS = 1_000;
const EXPORT_DEADLINE_MS = 10_000;
/** `ExportResultCode.SUCCESS`. */
const EXPORTED = 0;

export function otlpProcessor({ endpoint, ...options }: OtlpOptions): SpanProcessor {
  const url = `${endpoint.replace(/\/+$/, "")}/v1/traces`;
  const exporter = new OTLPTraceExporter({ url, timeoutMillis: EXPORT_DEADLINE_MS });
  options.scope.defer(() => exporter.shutdown());
  const sink: SpanSink = {
    export: (spans) =>
      new Promise((resolve, reject) => {
        // The exporter's release train declares the same span over enums of its own.
        const batch = spans as unknown as Parameters<typeof exporter.export>[0];
        exporter.export(batch, ({ code, error }) => {
          const exported: number = code;
          if (exported === EXPORTED) resolve();
          else reject(error ?? new Error("the collector refused the spans"));
        });
      }),
  };
  return batchedTo(sink, options);
}

/** Queues spans for `sink`; what does not fit, or is not taken in time, is dropped and counted. Closing waits for nothing. */
export function batchedTo(sink: SpanSink, { clock, scope, dropped }: Omit<OtlpOptions, "endpoint">): SpanProcessor {
  const queue: ReadableSpan[] = [];
  let timer: Timer | undefined;
  let exporting = false;
  const drop = (count: number): void => dropped.add({ to: "otlp" }, count);

  const exportBatch = async (): Promise<void> => {
    timer = undefined;
    exporting = true;
    const batch = queue.splice(0, MAX_BATCH);
    await withDeadline(clock, EXPORT_DEADLINE_MS, "export of spans", sink.export(batch)).catch(() =>
      drop(batch.length),
    );
    exporting = false;
    if (queue.length > 0) arm();
  };
  const arm = (): void => {
    if (timer || exporting || scope.closed) return;
    timer = clock.setTimer(queue.length >= MAX_BATCH ? 0 : DELAY_MS, () => void exportBatch());
  };
  scope.defer(() => timer?.cancel());
  return {
    onStart: () => {},
    onEnd(span) {
      if (queue.length >= MAX_QUEUE) return drop(1);
      queue.push(span);
      arm();
    },
    forceFlush: async () => {},
    shutdown: async () => {},
  };
}
