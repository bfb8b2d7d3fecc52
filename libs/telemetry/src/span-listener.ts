/** The other end of `span-outlet.ts`: `pilot trace` and the console hear spans through these two. */
import { busSubjects, busToken } from "@pilothouse/bus";
import type { Bus } from "@pilothouse/bus";
import type { Clock, Ids } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import { REPLY_PREFIX, spanHeaders } from "./span-outlet.ts";
import { decodeSpans, type ServiceSpan } from "./span-record.ts";

export type { ServiceSpan } from "./span-record.ts";

const ANNOUNCE_EVERY_MS = 4_000;

/** Calls back with each span that any service ends, until the scope closes. */
export function followSpans(bus: Bus, clock: Clock, scope: Scope, hear: (span: ServiceSpan) => void): void {
  const subscription = bus.subscribe("telemetry.spans.>", ({ payload }) => {
    for (const span of decodeSpans(payload)) hear(span);
  });
  scope.defer(() => subscription.unsubscribe());
  const announce = (): void => {
    if (scope.closed) return;
    bus.publish(busSubjects.spanListeners, new Uint8Array());
    const timer = clock.setTimer(ANNOUNCE_EVERY_MS, announce);
    scope.defer(() => timer.cancel());
  };
  announce();
}

export interface ReplayOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Only the spans of this trace. */
  readonly traceId?: string;
  /** How long to wait for the answers of all services; default 500. */
  readonly waitMs?: number;
}

/** The spans that all services still remember, earliest first. */
export function replaySpans({ bus, clock, ids, traceId, waitMs = 500 }: ReplayOptions): Promise<ServiceSpan[]> {
  const reply = `${REPLY_PREFIX}${busToken(ids.uuid())}`;
  const spans: ServiceSpan[] = [];
  const subscription = bus.subscribe(reply, ({ payload }) => void spans.push(...decodeSpans(payload)));
  const ask = traceId === undefined ? {} : { [spanHeaders.trace]: traceId };
  bus.publish(busSubjects.spanListeners, new Uint8Array(), { [spanHeaders.reply]: reply, ...ask });
  return new Promise((resolve) =>
    clock.setTimer(waitMs, () => {
      subscription.unsubscribe();
      resolve(spans.sort((a, b) => a.startTimeMs - b.startTimeMs));
    }),
  );
}
