/**
 * Events that users see in `kubectl describe`. Told in passing: nothing waits for them, and what cannot be told is dropped.
 *
 * The same thing told again counts up the event that is there; of one object no more is told than upstream tells.
 */
import type { Event, Pod } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import { isStatus } from "@pilothouse/errors";
import type { Clock, Random } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import type { Logger } from "@pilothouse/telemetry";
import { seconds } from "../core/container-status.ts";
import { Aggregator, SpamFilter } from "../core/event-limits.ts";

export interface EventRecorder {
  pod(pod: Pod, type: "Normal" | "Warning", reason: string, message: string, container?: string): void;
  node(type: "Normal" | "Warning", reason: string, message: string): void;
}

export interface RecorderPorts {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly scope: Scope;
  readonly log: Logger;
  readonly nodeName: string;
}

const MAX_PENDING = 1_000;
const MAX_KNOWN = 4_096;

type Subject = Event["involvedObject"];

export function eventRecorder(ports: RecorderPorts): EventRecorder {
  return new Recorder(ports);
}

class Recorder implements EventRecorder {
  readonly #ports: RecorderPorts;
  readonly #pending: Event[] = [];
  readonly #known = new Map<string, Event>();
  readonly #spam = new SpamFilter();
  readonly #aggregator = new Aggregator();
  #sending = false;

  constructor(ports: RecorderPorts) {
    this.#ports = ports;
  }

  pod(pod: Pod, type: "Normal" | "Warning", reason: string, message: string, container?: string): void {
    const { name, namespace, uid, resourceVersion } = pod.metadata;
    const subject = {
      kind: "Pod",
      apiVersion: "v1",
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(container === undefined ? {} : { fieldPath: `spec.containers{${container}}` }),
    };
    this.#tell(subject, type, reason, message);
  }

  node(type: "Normal" | "Warning", reason: string, message: string): void {
    const { nodeName } = this.#ports;
    this.#tell({ kind: "Node", apiVersion: "v1", name: nodeName, uid: nodeName }, type, reason, message);
  }

  #tell(involvedObject: Subject, type: "Normal" | "Warning", reason: string, told: string): void {
    if (this.#pending.length >= MAX_PENDING) return;
    const { clock, random, nodeName } = this.#ports;
    const nowMs = clock.now();
    const now = seconds(nowMs);
    const { kind, namespace, name, uid, fieldPath } = involvedObject;
    const subject = JSON.stringify([kind, namespace, name, uid]);
    const combined = this.#aggregator.combine(JSON.stringify([subject, type, reason]), told, nowMs);
    const { message } = combined;
    const key = JSON.stringify([combined.key, fieldPath]);
    const before = this.#known.get(key);
    const suffix = Math.floor(random.next() * 2 ** 48).toString(16);
    const event: Event = before
      ? { ...before, message, count: (before.count ?? 1) + 1, lastTimestamp: now }
      : {
          kind: "Event",
          apiVersion: "v1",
          metadata: {
            name: `${involvedObject.name}.${Math.floor(clock.now()).toString(16)}${suffix}`,
            namespace: involvedObject.namespace ?? "default",
          },
          involvedObject,
          type,
          reason,
          message,
          source: { component: "kubelet", host: nodeName },
          reportingComponent: "kubelet",
          reportingInstance: nodeName,
          firstTimestamp: now,
          lastTimestamp: now,
          count: 1,
        };
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(key, event);
    // It is counted, and told with the next one that is.
    if (!this.#spam.admits(subject, nowMs)) return;
    this.#pending.push(event);
    if (!this.#sending) this.#ports.scope.run("events", () => this.#send());
  }

  async #send(): Promise<void> {
    this.#sending = true;
    try {
      for (let event = this.#pending.shift(); event; event = this.#pending.shift()) await this.#write(event);
    } finally {
      this.#sending = false;
    }
  }

  async #write(event: Event): Promise<void> {
    const { client, log } = this.#ports;
    const { name = "", namespace = "" } = event.metadata;
    try {
      if ((event.count ?? 1) > 1) {
        const { message, count, lastTimestamp } = event;
        const body = { message, count, lastTimestamp };
        const patch = { type: "application/strategic-merge-patch+json" as const, body };
        await client.patch(resources.events, namespace, name, patch);
      } else await client.create(resources.events, event);
    } catch (error) {
      // It has expired since: tell it anew.
      if (isStatus(error, "NotFound") && (event.count ?? 1) > 1) {
        await client.create(resources.events, event).catch(() => {});
      } else log.debug("an event could not be told", { reason: event.reason, error });
    }
  }
}
