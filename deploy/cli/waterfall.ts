/** One trace as a waterfall of text: each span a line, indented below its cause, with a bar on the common time axis. Pure. */
import type { ServiceSpan } from "@pilothouse/telemetry/span-listener";

export interface WaterfallOptions {
  /** Columns of the bars. */
  readonly barWidth: number;
  readonly color: boolean;
}

interface Placed {
  readonly span: ServiceSpan;
  readonly depth: number;
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
export function waterfall(spans: readonly ServiceSpan[], { barWidth, color }: WaterfallOptions): readonly string[] {
  if (spans.length === 0) return ["no spans"];
  const startMs = Math.min(...spans.map((span) => span.startTimeMs));
  const endMs = Math.max(...spans.map((span) => span.endTimeMs));
  const placed = inTree(spans);
  const names = placed.map(({ span, depth }) => `${"  ".repeat(depth)}${span.name}${subjectOf(span)}`);
  const nameWidth = Math.min(64, Math.max(...names.map((name) => name.length)));
  const serviceWidth = Math.max(...spans.map(({ service }) => service.length));
  const services = new Set(spans.map(({ service }) => service));
  const head = `trace ${spans[0]?.context.traceId} · ${spans.length} spans in ${services.size} processes · ${milliseconds(endMs - startMs)}`;
  const lines = placed.map(({ span }, index) => {
    const name = (names[index] as string).slice(0, nameWidth).padEnd(nameWidth);
    const bar = barOf(span, startMs, endMs, barWidth);
    const failed = span.error === undefined ? "" : ` ✘ ${span.error.slice(0, 100)}`;
    const at = `+${milliseconds(span.startTimeMs - startMs)}`.padStart(9);
    const took = milliseconds(span.endTimeMs - span.startTimeMs).padStart(8);
    return `${paint(span.service.padEnd(serviceWidth), span.service, color)} ${name} ${at} ${took} ${paint(bar, span.service, color)}${failed}`;
  });
  return [head, ...lines];
}

/** One line for `trace tail`. */
export function spanLine(span: ServiceSpan, color: boolean): string {
  const time = new Date(span.endTimeMs).toISOString().slice(11, 23);
  const took = milliseconds(span.endTimeMs - span.startTimeMs).padStart(8);
  const failed = span.error === undefined ? "" : ` ✘ ${span.error}`;
  const service = paint(span.service.padEnd(18), span.service, color);
  return `${time} ${service} ${took} ${span.name}${subjectOf(span)}${failed} ${dim(span.context.traceId.slice(0, 8), color)}`;
}

/** What a span is about, from the attributes that all services use: ` default/web-1`. */
export function subjectOf({ attributes }: ServiceSpan): string {
  const name = attributes["k8s.name"];
  if (name === undefined || name === "") return "";
  const namespace = attributes["k8s.namespace"];
  return namespace === undefined || namespace === "" ? ` ${name}` : ` ${namespace}/${name}`;
}

/** Depth first, children in the order of their start. */
function inTree(spans: readonly ServiceSpan[]): readonly Placed[] {
  const known = new Set(spans.map((span) => span.context.spanId));
  const children = Map.groupBy(spans, ({ parent }) => (parent && known.has(parent.spanId) ? parent.spanId : ""));
  const placed: Placed[] = [];
  const seen = new Set<string>();
  const visit = (parentId: string, depth: number): void => {
    const below = [...(children.get(parentId) ?? [])].sort((a, b) => a.startTimeMs - b.startTimeMs);
    for (const span of below) {
      if (seen.has(span.context.spanId)) continue;
      seen.add(span.context.spanId);
      placed.push({ span, depth });
      visit(span.context.spanId, depth + 1);
    }
  };
  visit("", 0);
  return placed;
}

function barOf(span: ServiceSpan, startMs: number, endMs: number, width: number): string {
  const scale = width / Math.max(1, endMs - startMs);
  const from = Math.min(width - 1, Math.floor((span.startTimeMs - startMs) * scale));
  const length = Math.max(1, Math.min(width - from, Math.round((span.endTimeMs - span.startTimeMs) * scale)));
  return `${" ".repeat(from)}${"█".repeat(length)}`;
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
