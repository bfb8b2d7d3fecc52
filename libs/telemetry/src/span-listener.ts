/** The other end of `span-outlet.ts`: `pilot trace` and the console hear spans through these two. */
import { busSubjects, busToken } from "@pilothouse/bus";
import type { Bus } from "@pilothouse/bus";
import { sleep } from "@pilothouse/clock";
import type { Clock, Ids, Timer } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import { REPLY_PREFIX, spanHeaders } from "./span-outlet.ts";
import { decodeSpans, type ServiceSpan } from "./span-record.ts";

export type { ServiceSpan } from "./span-record.ts";

const ANNOUNCE_EVERY_MS = 4_000;

/**
 * Calls back with each span that any service ends, until the scope closes. Services stop telling 10 s after the last
 * announcement that they heard: a listener that was without the bus for a while announces itself again at once.
 */
export function followSpans(bus: Bus, clock: Clock, scope: Scope, hear: (span: ServiceSpan) => void): void {
  const subscription = bus.subscribe("telemetry.spans.>", ({ payload }) => {
    for (const span of decodeSpans(payload)) hear(span);
  });
  let timer: Timer | undefined;
  const announce = (): void => {
    timer?.cancel();
    bus.publish(busSubjects.spanListeners, new Uint8Array());
    timer = clock.setTimer(ANNOUNCE_EVERY_MS, announce);
  };
  const forgetStatus = bus.onStatus((connected) => {
    if (connected) announce();
  });
  scope.defer(() => {
    subscription.unsubscribe();
    forgetStatus();
    timer?.cancel();
  });
  announce();
}

export interface ReplayOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Only the spans of this trace. */
  readonly traceId?: string;
  /** The answers count as complete when nothing has come for so long; default 500. */
  readonly quietMs?: number;
  /** Not longer in all; default 10,000. */
  readonly limitMs?: number;
}

/** The spans that all services still remember, earliest first. Nobody knows how many services there are: silence ends it. */
export async function replaySpans(options: ReplayOptions): Promise<ServiceSpan[]> {
  const { bus, clock, ids, traceId, quietMs = 500, limitMs = 10_000 } = options;
  const reply = `${REPLY_PREFIX}${busToken(ids.uuid())}`;
  const spans: ServiceSpan[] = [];
  const endMs = clock.monotonicMs() + limitMs;
  let heardMs = clock.monotonicMs();
  const subscription = bus.subscribe(reply, ({ payload }) => {
    heardMs = clock.monotonicMs();
    for (const span of decodeSpans(payload)) spans.push(span);
  });
  const ask = traceId === undefined ? {} : { [spanHeaders.trace]: traceId };
  bus.publish(busSubjects.spanListeners, new Uint8Array(), { [spanHeaders.reply]: reply, ...ask });
  for (;;) {
    const untilMs = Math.min(endMs, heardMs + quietMs);
    if (clock.monotonicMs() >= untilMs) break;
    await sleep(clock, untilMs - clock.monotonicMs());
  }
  subscription.unsubscribe();
  return spans.sort((a, b) => a.startTimeMs - b.startTimeMs);
}
