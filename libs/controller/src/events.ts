/**
 * Events for users (`kubectl describe`, `kubectl get events`), counted instead of repeated.
 *
 * Promises: recording never waits and never fails; the same event again raises the count of the one that is there; more than 10
 * in 10 minutes that differ in their message only become one "(combined from similar events)"; one object gets at most 25 at
 * once and then one in 5 minutes. All as upstream's correlator.
 * Does not promise: that an event arrives; what the apiserver does not take is dropped and counted.
 * Limits: 1,000 events on their way, 4,096 remembered for counting.
 */
import type { Event, ObjectReference } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient, type KubernetesObject } from "@pilothouse/client";
import type { Clock } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import type { Scope } from "@pilothouse/lifecycle";
import type { Telemetry, TraceContext } from "@pilothouse/telemetry";

/** What an event is about. */
export interface EventTarget {
  readonly apiVersion: string;
  readonly kind: string;
  readonly object: KubernetesObject;
  /** `spec.containers{web}`, say. */
  readonly fieldPath?: string;
}

export interface EventRecorder {
  record(target: EventTarget, type: "Normal" | "Warning", reason: string, message: string, trace?: TraceContext): void;
}

export interface EventRecorderOptions {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly scope: Scope;
  readonly telemetry: Telemetry;
  /** `replicaset-controller`, `kubelet`, … */
  readonly component: string;
  /** The node, for kubelets. */
  readonly host?: string;
}

const MAX_MESSAGE = 1_024;
const MAX_ON_THE_WAY = 1_000;
const MAX_REMEMBERED = 4_096;
const SIMILAR_LIMIT = 10;
const SIMILAR_WINDOW_MS = 600_000;
const BURST = 25;
const REFILL_MS = 300_000;
const COMBINED = "(combined from similar events): ";

export function eventRecorder(options: EventRecorderOptions): EventRecorder {
  return new Recorder(options);
}

interface Occurrence {
  readonly target: EventTarget;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  /** Stands for all similar ones, whatever their messages. */
  readonly combined: boolean;
  readonly trace: TraceContext | undefined;
}

interface Remembered {
  readonly name: string;
  count: number;
}

interface Similar {
  readonly messages: Set<string>;
  untilMs: number;
}

interface Bucket {
  tokens: number;
  refilledMs: number;
}

class Recorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #remembered = new Map<string, Remembered>();
  readonly #similar = new Map<string, Similar>();
  readonly #buckets = new Map<string, Bucket>();
  readonly #queue: Occurrence[] = [];
  #sending = false;
  #lastNameMs = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(target: EventTarget, type: "Normal" | "Warning", reason: string, message: string, trace?: TraceContext): void {
    const { scope } = this.#options;
    const combined = this.#isOneTooMany(target, type, reason, message);
    const occurrence = { target, type, reason, combined, message: combined ? COMBINED + message : message, trace };
    if (scope.closed || this.#queue.length >= MAX_ON_THE_WAY || !this.#allowed(target)) return this.#drop();
    this.#queue.push(occurrence);
    if (this.#sending) return;
    this.#sending = true;
    scope.run("events", (signal) => this.#sendAll(signal));
  }

  async #sendAll(signal: AbortSignal): Promise<void> {
    for (let next = this.#queue.shift(); next && !signal.aborted; next = this.#queue.shift())
      await this.#send(next, signal).catch((error: unknown) => {
        this.#drop();
        this.#options.telemetry.log.debug("event not written", { error });
      });
    this.#sending = false;
  }

  async #send(occurrence: Occurrence, signal: AbortSignal): Promise<void> {
    const { target, type, reason, message, trace } = occurrence;
    const { client, clock } = this.#options;
    const namespace = target.object.metadata.namespace ?? "default";
    const same = [target.object.metadata.uid, target.fieldPath, type, reason];
    const key = JSON.stringify(occurrence.combined ? same : [...same, message]);
    const known = this.#remembered.get(key);
    if (known) {
      const body = { message, count: known.count + 1, lastTimestamp: timestamp(clock.now()) };
      try {
        const patch = { type: "application/merge-patch+json", body } as const;
        await client.patch(resources.events, namespace, known.name, patch, { trace, signal });
        known.count++;
        return;
      } catch (error) {
        if (!isStatus(error, "NotFound")) throw error;
        this.#remembered.delete(key);
      }
    }
    const event = this.#event(occurrence, namespace);
    await client.create(resources.events, event, { trace, signal });
    this.#remembered.set(key, { name: event.metadata.name as string, count: 1 });
    forgetOldest(this.#remembered);
  }

  #event({ target, type, reason, message }: Occurrence, namespace: string): Event {
    const { component, host, clock } = this.#options;
    const now = timestamp(clock.now());
    return {
      metadata: { name: `${target.object.metadata.name ?? ""}.${this.#uniqueSuffix()}`, namespace },
      involvedObject: referenceTo(target),
      reason,
      message: message.slice(0, MAX_MESSAGE),
      source: { component, ...(host === undefined ? {} : { host }) },
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
      type,
      reportingComponent: component,
      reportingInstance: host ?? "",
    };
  }

  /** Nanoseconds in hex, as upstream names events; never the same twice. */
  #uniqueSuffix(): string {
    this.#lastNameMs = Math.max(this.#options.clock.now(), this.#lastNameMs + 0.001);
    return BigInt(Math.round(this.#lastNameMs * 1_000) * 1_000).toString(16);
  }

  /** True when too many differ in nothing but their messages. */
  #isOneTooMany(target: EventTarget, type: string, reason: string, message: string): boolean {
    const now = this.#options.clock.monotonicMs();
    const key = JSON.stringify([target.object.metadata.uid, target.fieldPath, type, reason]);
    const known = this.#similar.get(key);
    const similar = known && now < known.untilMs ? known : { messages: new Set<string>(), untilMs: 0 };
    similar.untilMs = now + SIMILAR_WINDOW_MS;
    if (similar.messages.size < SIMILAR_LIMIT) similar.messages.add(message);
    this.#similar.set(key, similar);
    forgetOldest(this.#similar);
    return !similar.messages.has(message);
  }

  #allowed({ object }: EventTarget): boolean {
    const now = this.#options.clock.monotonicMs();
    const key = object.metadata.uid ?? "";
    const bucket = this.#buckets.get(key) ?? { tokens: BURST, refilledMs: now };
    const refill = Math.floor((now - bucket.refilledMs) / REFILL_MS);
    bucket.tokens = Math.min(BURST, bucket.tokens + refill);
    bucket.refilledMs += refill * REFILL_MS;
    this.#buckets.set(key, bucket);
    forgetOldest(this.#buckets);
    if (bucket.tokens === 0) return false;
    bucket.tokens--;
    return true;
  }

  #drop(): void {
    this.#options.telemetry.metrics
      .counter("events_dropped_total", "Events that were not written.", ["component"])
      .add({ component: this.#options.component });
  }
}

function referenceTo({ apiVersion, kind, object, fieldPath }: EventTarget): ObjectReference {
  const { namespace, name, uid, resourceVersion } = object.metadata;
  return {
    apiVersion,
    kind,
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(fieldPath === undefined ? {} : { fieldPath }),
  };
}

function timestamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
}

function forgetOldest<V>(map: Map<string, V>): void {
  if (map.size <= MAX_REMEMBERED) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
