/**
 * Where a service's ended spans go: into a ring of the last few thousand, and live on the bus while somebody listens.
 *
 * Protocol, all on `busSubjects.spanListeners`: a listener announces itself every few seconds with an empty message; for 10 s
 * after one, services publish their spans on `busSubjects.spans(service)`. A message with a `reply` header instead asks
 * for the past: each service answers there with what its ring holds (of one trace, if `trace` names it) and ends with a
 * message that has an `end` header.
 *
 * Promises: bounded memory; nothing waits for the bus; what it does not take is counted as dropped.
 */
import type { Bus, BusMessage } from "@pilothouse/bus";
import { busSubjects } from "@pilothouse/bus";
import type { Clock, Timer } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import type { Counter } from "./index.ts";
import { encodeSpans, type ServiceSpan } from "./span-record.ts";

export const spanHeaders = { reply: "Ph-Reply", trace: "Ph-Trace", end: "Ph-End" } as const;

/** Replies go under this prefix only, so that no request makes a service speak on another subject. */
export const REPLY_PREFIX = "telemetry.replies.";

const LISTENER_KNOWN_MS = 10_000;
const BATCH_DELAY_MS = 50;
const MAX_BATCH = 512;
const MAX_MESSAGE_BYTES = 256 * 1024;

export interface SpanOutletOptions {
  readonly service: string;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly scope: Scope;
  readonly dropped: Counter;
  /** How many spans the ring keeps; default 8,192. */
  readonly ringSize?: number;
}

export class SpanOutlet {
  readonly #options: SpanOutletOptions;
  readonly #ring: ServiceSpan[] = [];
  readonly #ringSize: number;
  #oldest = 0;
  #batch: ServiceSpan[] = [];
  #timer: Timer | undefined;
  #listenerUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: SpanOutletOptions) {
    this.#options = options;
    this.#ringSize = options.ringSize ?? 8_192;
    const subscription = options.bus.subscribe(busSubjects.spanListeners, (message) => this.#hear(message));
    options.scope.defer(() => {
      subscription.unsubscribe();
      this.#timer?.cancel();
    });
  }

  record(span: ServiceSpan): void {
    if (this.#ring.length < this.#ringSize) this.#ring.push(span);
    else {
      this.#ring[this.#oldest] = span;
      this.#oldest = (this.#oldest + 1) % this.#ringSize;
    }
    if (this.#options.clock.monotonicMs() < this.#listenerUntilMs) this.#tell(span);
  }

  #tell(span: ServiceSpan): void {
    if (this.#options.scope.closed) return;
    if (this.#batch.length >= MAX_BATCH) {
      this.#options.dropped.add({ to: "bus" });
      return;
    }
    this.#batch.push(span);
    this.#timer ??= this.#options.clock.setTimer(BATCH_DELAY_MS, () => this.#flush());
  }

  #flush(): void {
    const spans = this.#batch;
    this.#timer = undefined;
    this.#batch = [];
    this.#publish(busSubjects.spans(this.#options.service), spans);
  }

  #hear({ headers }: BusMessage): void {
    const reply = headers[spanHeaders.reply];
    if (reply === undefined) this.#listenerUntilMs = this.#options.clock.monotonicMs() + LISTENER_KNOWN_MS;
    else if (reply.startsWith(REPLY_PREFIX)) this.#replay(reply, headers[spanHeaders.trace]);
  }

  #replay(reply: string, traceId: string | undefined): void {
    const inOrder = [...this.#ring.slice(this.#oldest), ...this.#ring.slice(0, this.#oldest)];
    const asked = traceId === undefined ? inOrder : inOrder.filter(({ context }) => context.traceId === traceId);
    this.#publish(reply, asked);
    this.#options.bus.publish(reply, new Uint8Array(), { [spanHeaders.end]: this.#options.service });
  }

  #publish(subject: string, spans: readonly ServiceSpan[]): void {
    const maxBytes = Math.min(MAX_MESSAGE_BYTES, this.#options.bus.maxPayloadBytes);
    for (const message of encodeSpans(spans, maxBytes))
      if (!this.#options.bus.publish(subject, message)) this.#options.dropped.add({ to: "bus" });
  }
}
