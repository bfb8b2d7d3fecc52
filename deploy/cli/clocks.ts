/**
 * Spans of several machines on one clock. Pure.
 *
 * What a cause and its effect on another machine say about their clocks are differences with a limit: a child cannot begin
 * before its parent did, and one that its parent waited for cannot end after it. With D the child's clock less the parent's,
 *
 *     child.end - parent.end  <=  D  <=  child.start - parent.start        (the left side only where the parent waited)
 *
 * Of one request that is the interval whose middle puts the server's span into the middle of the client's, as Jaeger and Zipkin
 * do. Here all pairs in both directions count, over any number of machines: shortest paths over the limits give the tightest
 * ones that follow from all, and machines then get their clocks one after the other, which always leaves room for the rest
 * (Dechter, Meiri and Pearl, "Temporal constraint networks", 1991).
 *
 * Promises: afterwards no pair contradicts itself by more than a span's resolution, if any choice of clocks can do that; a clock
 * that nothing contradicts is left alone. Does not promise: that a clock without corrections is right.
 */
import type { ServiceSpan } from "@pilothouse/telemetry/span-listener";

/** Spans begin and end at whole milliseconds. */
export const RESOLUTION_MS = 1;

/** Machine → how far its clock is ahead, in milliseconds; only clocks that have to be corrected. */
export type ClockOffsets = ReadonlyMap<string, number>;

/** How far each machine's clock is ahead of the one that contradicts the fewest others. */
export function clockOffsets(spans: readonly ServiceSpan[]): ClockOffsets {
  const pairs = remotePairs(spans);
  // Those who served remote requests: the rest is known by them alone.
  const references = new Set(pairs.map(({ parent }) => parent.host));
  const hosts = [...new Set(pairs.flatMap(({ parent, child }) => [parent.host, child.host]))];
  if (hosts.length === 0) return new Map();
  const limits = tightest(limitsOf(pairs, hosts));
  const choices = [...references].map((reference) => offsetsFrom(reference, hosts, limits));
  return choices.reduce((best, next) => (next.size < best.size ? next : best));
}

/** The same spans as if all machines had the same clock. */
export function onOneClock(spans: readonly ServiceSpan[], offsets: ClockOffsets): readonly ServiceSpan[] {
  if (offsets.size === 0) return spans;
  return spans.map((span) => {
    const aheadMs = offsets.get(span.host) ?? 0;
    if (aheadMs === 0) return span;
    return {
      ...span,
      startTimeMs: span.startTimeMs - aheadMs,
      endTimeMs: span.endTimeMs - aheadMs,
      events: span.events.map((event) => ({ ...event, timeMs: event.timeMs - aheadMs })),
    };
  });
}

interface Pair {
  readonly parent: ServiceSpan;
  readonly child: ServiceSpan;
}

function remotePairs(spans: readonly ServiceSpan[]): readonly Pair[] {
  const byId = new Map(spans.map((span) => [span.context.spanId, span]));
  return spans.flatMap((child) => {
    const parent = child.parent && byId.get(child.parent.spanId);
    return parent && parent.host !== child.host ? [{ parent, child }] : [];
  });
}

/** By two machines' numbers [a][b]: how far b's clock can be ahead of a's at most. */
type Limits = readonly (readonly number[])[];

function limitsOf(pairs: readonly Pair[], hosts: readonly string[]): Limits {
  const numbers = new Map(hosts.map((host, number) => [host, number]));
  const limits = hosts.map((_, a) => hosts.map((_, b) => (a === b ? 0 : Number.POSITIVE_INFINITY)));
  const limit = (from: string, to: string, atMostMs: number): void => {
    const row = limits[numbers.get(from) as number] as number[];
    const column = numbers.get(to) as number;
    row[column] = Math.min(row[column] as number, atMostMs + RESOLUTION_MS);
  };
  for (const { parent, child } of pairs) {
    limit(parent.host, child.host, child.startTimeMs - parent.startTimeMs);
    if (isAwaited(parent, child)) limit(child.host, parent.host, parent.endTimeMs - child.endTimeMs);
  }
  return limits;
}

/** A request's client waits for its answer, unless it gives up: then the server has worked for longer than the client waited. */
function isAwaited(parent: ServiceSpan, child: ServiceSpan): boolean {
  return child.kind === "server" && lengthMs(child) <= lengthMs(parent) + RESOLUTION_MS;
}

function lengthMs({ startTimeMs, endTimeMs }: ServiceSpan): number {
  return endTimeMs - startTimeMs;
}

/** All that follows from the limits. Where they contradict each other (a clock was set meanwhile), all give way by the same. */
function tightest(limits: Limits): Limits {
  for (let giveMs = 0; ; giveMs = Math.max(RESOLUTION_MS, giveMs * 2)) {
    const paths = limits.map((row, a) => row.map((limit, b) => (a === b ? 0 : limit + giveMs)));
    for (const [via, viaRow] of paths.entries())
      for (const row of paths)
        for (const [to, rest] of viaRow.entries()) row[to] = Math.min(row[to] as number, (row[via] as number) + rest);
    if (paths.every((row, a) => row[a] === 0)) return paths;
  }
}

function offsetsFrom(reference: string, hosts: readonly string[], limits: Limits): ClockOffsets {
  const first = hosts.indexOf(reference);
  const fixed = new Map([[first, 0]]);
  for (const number of hosts.keys()) {
    if (number === first) continue;
    let least = Number.NEGATIVE_INFINITY;
    let most = Number.POSITIVE_INFINITY;
    for (const [other, offsetMs] of fixed) {
      least = Math.max(least, offsetMs - (limits[number]?.[other] as number));
      most = Math.min(most, offsetMs + (limits[other]?.[number] as number));
    }
    fixed.set(number, within(least, most));
  }
  const offsets = [...fixed].map(([number, offsetMs]): [string, number] => [hosts[number] as string, offsetMs]);
  return new Map(offsets.filter(([, offsetMs]) => offsetMs !== 0));
}

/** None if that will do; else the middle; or the near end of what is open at the other. */
function within(least: number, most: number): number {
  if (least <= 0 && most >= 0) return 0;
  if (least === Number.NEGATIVE_INFINITY) return most;
  return most === Number.POSITIVE_INFINITY ? least : (least + most) / 2;
}
