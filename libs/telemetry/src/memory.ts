/** The memory adapter: spans, log lines and metric values kept for tests and the simulation to look at. */
import type { Clock, Random } from "@pilothouse/clock";
import type { LabelValues, LogFields, Logger, Metrics, Span, SpanOptions, Telemetry } from "./index.ts";
import type { RecordedEvent, RecordedSpan } from "./span-record.ts";
import { childContext } from "./trace-ids.ts";

export type { RecordedSpan } from "./span-record.ts";

export interface MemoryTelemetryOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** The oldest records go beyond this many of each. */
  readonly maxRecords?: number;
}

export interface MemoryTelemetry extends Telemetry {
  /** Ended spans, in the order of their ends. */
  readonly spans: readonly RecordedSpan[];
  readonly logs: readonly RecordedLine[];
  /** The value of a counter or gauge, or the count of a histogram; 0 when it was never touched. */
  metric(name: string, labels?: LabelValues): number;
}

export interface RecordedLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly timeMs: number;
  readonly message: string;
  readonly fields: LogFields;
}

export function memoryTelemetry({ clock, random, maxRecords = 100_000 }: MemoryTelemetryOptions): MemoryTelemetry {
  const spans: RecordedSpan[] = [];
  const logs: RecordedLine[] = [];
  const values = new Map<string, number>();
  return {
    spans,
    logs,
    metric: (name, labels) => values.get(metricKey(name, labels)) ?? 0,
    tracer: { start: (name, options = {}) => recordedSpan(clock, random, name, options, keepIn(spans, maxRecords)) },
    log: recordingLogger(clock, {}, keepIn(logs, maxRecords)),
    metrics: recordingMetrics(values),
  };
}

function recordedSpan(
  clock: Clock,
  random: Random,
  name: string,
  options: SpanOptions,
  keep: (span: RecordedSpan) => void,
): Span {
  const startTimeMs = options.startTimeMs ?? clock.now();
  const context = childContext(random, options.parent);
  const attributes: Record<string, string | number | boolean> = { ...options.attributes };
  const events: RecordedEvent[] = [];
  let error: string | undefined;
  let ended = false;
  return {
    context,
    set: (more) => void Object.assign(attributes, more),
    event: (event, more = {}) => void events.push({ name: event, timeMs: clock.now(), attributes: more }),
    fail: (cause) => void (error = cause instanceof Error ? cause.message : String(cause)),
    end: (endTimeMs = clock.now()) => {
      if (ended) return;
      ended = true;
      keep({
        name,
        context,
        parent: options.parent,
        links: options.links ?? [],
        kind: options.kind ?? "internal",
        startTimeMs,
        endTimeMs,
        attributes,
        events,
        error,
      });
    },
  };
}

function recordingLogger(clock: Clock, base: LogFields, keep: (line: RecordedLine) => void): Logger {
  const at =
    (level: RecordedLine["level"]) =>
    (message: string, fields: LogFields = {}): void =>
      keep({ level, timeMs: clock.now(), message, fields: { ...base, ...fields } });
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (fields) => recordingLogger(clock, { ...base, ...fields }, keep),
  };
}

function recordingMetrics(values: Map<string, number>): Metrics {
  const add = (name: string, labels: LabelValues | undefined, by: number): void => {
    const key = metricKey(name, labels);
    values.set(key, (values.get(key) ?? 0) + by);
  };
  return {
    counter: (name) => ({ add: (labels, by = 1) => add(name, labels, by) }),
    gauge: (name) => ({ set: (value, labels) => void values.set(metricKey(name, labels), value) }),
    histogram: (name) => ({ observe: (_seconds, labels) => add(name, labels, 1) }),
    expose: async () => [...values].map(([key, value]) => `${key} ${value}\n`).join(""),
  };
}

function metricKey(name: string, labels: LabelValues = {}): string {
  const pairs = Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(",")}}`;
}

function keepIn<T>(records: T[], max: number): (record: T) => void {
  return (record) => {
    records.push(record);
    if (records.length > max) records.splice(0, records.length - max);
  };
}
