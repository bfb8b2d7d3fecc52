/**
 * One trace as a waterfall of text: each span a line, indented below its cause, with a bar on the common time axis. Between a
 * cause that has ended and its effect stands what was waited for. Machines' clocks are reconciled first. Pure.
 */
import type { ServiceSpan } from "@pilothouse/telemetry/span-listener";
import { clockOffsets, onOneClock, type ClockOffsets } from "./clocks.ts";
import { inTree, type Row } from "./trace-rows.ts";

export interface WaterfallOptions {
  /** Columns of the bars. */
  readonly barWidth: number;
  readonly color: boolean;
}

const SERVICE_COLORS: Readonly<Record<string, number>> = {
  apiserver: 34,
  scheduler: 35,
  "controller-manager": 33,
  kubelet: 32,
  proxy: 36,
  dns: 96,
};

/** Lines without line ends. Spans whose parent is missing (its process restarted) stand as roots of their own. */
export function waterfall(told: readonly ServiceSpan[], { barWidth, color }: WaterfallOptions): readonly string[] {
  if (told.length === 0) return ["no spans"];
  const offsets = clockOffsets(told);
  const spans = onOneClock(told, offsets);
  const startMs = Math.min(...spans.map((span) => span.startTimeMs));
  const endMs = Math.max(...spans.map((span) => span.endTimeMs));
  const axis: Axis = { startMs, endMs, width: barWidth };
  const hosts = new Set(spans.map(({ host }) => host));
  const rows = inTree(spans);
  const names = rows.map((row) => `${"  ".repeat(row.depth)}${nameOf(row)}`);
  const nameWidth = Math.min(64, Math.max(...names.map((name) => name.length)));
  const origins = rows.map(({ span }) => originOf(span, hosts.size > 1));
  const originWidth = Math.max(...origins.map((origin) => origin.length));
  const lines = rows.map((row, index) => {
    const { service, error } = row.span;
    const name = (names[index] as string).slice(0, nameWidth).padEnd(nameWidth);
    const failed = row.wait !== undefined || error === undefined ? "" : ` ✘ ${error.slice(0, 100)}`;
    const at = `+${milliseconds(row.startMs - startMs)}`.padStart(9);
    const took = milliseconds(row.endMs - row.startMs).padStart(8);
    const origin = paint((origins[index] as string).padEnd(originWidth), service, color);
    return `${origin} ${name} ${at} ${took} ${paint(barOf(row, axis), service, color)}${failed}`;
  });
  return [headOf(spans, hosts.size, endMs - startMs), ...clockLines(offsets), ...lines];
}

function headOf(spans: readonly ServiceSpan[], machines: number, lengthMs: number): string {
  const processes = new Set(spans.map(({ service, instance, host }) => `${service} ${instance} ${host}`)).size;
  const where = machines > 1 ? ` on ${machines} machines` : "";
  return `trace ${spans[0]?.context.traceId} · ${spans.length} spans in ${processes} processes${where} · ${milliseconds(lengthMs)}`;
}

/** What was taken off the times of a machine's spans. */
function clockLines(offsets: ClockOffsets): readonly string[] {
  return [...offsets]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([host, aheadMs]) => `clock of ${host} ${aheadMs < 0 ? "-" : "+"}${milliseconds(Math.abs(aheadMs))}`);
}

/** One line for `trace tail`. */
export function spanLine(span: ServiceSpan, color: boolean, withHost = false): string {
  const time = new Date(span.endTimeMs).toISOString().slice(11, 23);
  const took = milliseconds(span.endTimeMs - span.startTimeMs).padStart(8);
  const failed = span.error === undefined ? "" : ` ✘ ${span.error}`;
  const origin = paint(originOf(span, withHost).padEnd(withHost ? 28 : 18), span.service, color);
  return `${time} ${origin} ${took} ${span.name}${subjectOf(span)}${failed} ${dim(span.context.traceId.slice(0, 8), color)}`;
}

function originOf({ service, host }: ServiceSpan, withHost: boolean): string {
  return withHost ? `${service}@${host}` : service;
}

function nameOf({ span, wait }: Row): string {
  return wait === undefined ? `${span.name}${subjectOf(span)}` : `· ${wait}`;
}

/** What a span is about, from the attributes that all services use: ` default/web-1`. */
export function subjectOf({ attributes }: ServiceSpan): string {
  const name = attributes["k8s.name"];
  if (name === undefined || name === "") return "";
  const namespace = attributes["k8s.namespace"];
  return namespace === undefined || namespace === "" ? ` ${name}` : ` ${namespace}/${name}`;
}

interface Axis {
  readonly startMs: number;
  readonly endMs: number;
  readonly width: number;
}

function barOf(row: Row, { startMs, endMs, width }: Axis): string {
  const scale = width / Math.max(1, endMs - startMs);
  const from = Math.min(width - 1, Math.floor((row.startMs - startMs) * scale));
  const length = Math.max(1, Math.min(width - from, Math.round((row.endMs - row.startMs) * scale)));
  return `${" ".repeat(from)}${(row.wait === undefined ? "█" : "░").repeat(length)}`;
}

export function milliseconds(ms: number): string {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

function paint(text: string, service: string, color: boolean): string {
  return color ? `\x1b[${SERVICE_COLORS[service] ?? 37}m${text}\x1b[0m` : text;
}

function dim(text: string, color: boolean): string {
  return color ? `\x1b[2m${text}\x1b[0m` : text;
}
