/**
 * Since when a Service's endpoints are due for a change: clients measure by it how late slices are (upstream's TriggerTimeTracker).
 * The earliest of the times at which pods became ready or not, or the Service was made, that were not known at the last look.
 */
import type { Pod, Service } from "@pilothouse/api/types/core-v1";
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { podCondition } from "../../core/pods.ts";

export const TRIGGER_TIME_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time";

interface Known {
  readonly serviceMs: number;
  /** By uid. */
  readonly podsMs: ReadonlyMap<string, number>;
}

export class TriggerTimes {
  readonly #known = new Map<string, Known>();

  /** RFC 3339; undefined when nothing that has a time is new. @param key the Service's */
  next(key: string, service: Service, pods: readonly Pod[]): string | undefined {
    const before = this.#known.get(key);
    const serviceMs = timeOf(service.metadata.creationTimestamp);
    const podsMs = new Map(pods.map((pod) => [pod.metadata.uid ?? "", readyChangeMs(pod)]));
    this.#known.set(key, { serviceMs, podsMs });
    const news = [...podsMs].filter(([uid, atMs]) => atMs > (before?.podsMs.get(uid) ?? 0)).map(([, atMs]) => atMs);
    if (serviceMs > (before?.serviceMs ?? 0)) news.push(serviceMs);
    return news.length === 0 ? undefined : new Date(Math.min(...news)).toISOString().replace(".000Z", "Z");
  }

  forget(key: string): void {
    this.#known.delete(key);
  }
}

/** The slice as it is written: a time that was no reason for this write is not kept. */
export function stamped(slice: EndpointSlice, since: string | undefined): EndpointSlice {
  const { [TRIGGER_TIME_ANNOTATION]: _, ...others } = slice.metadata.annotations ?? {};
  const annotations = since === undefined ? others : { ...others, [TRIGGER_TIME_ANNOTATION]: since };
  return { ...slice, metadata: { ...slice.metadata, annotations } };
}

function readyChangeMs(pod: Pod): number {
  return timeOf(podCondition(pod, "Ready")?.lastTransitionTime);
}

/** 0 for what has no time. */
function timeOf(text: string | undefined): number {
  return text === undefined ? 0 : Date.parse(text) || 0;
}
