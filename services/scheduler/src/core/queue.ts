/**
 * The scheduling queue, pure: which pod is tried next, and which rejected pod deserves another try.
 *
 * A pod is in exactly one place: *active* (to be tried, highest priority first, then longest waiting), *backing off* (tried
 * not long ago), *unschedulable* (waits for a change that could undo its rejection), or *in flight* (handed out by `pop`).
 * Promises: a change that happens while a pod is in flight is not missed: if it could undo the rejection, the pod goes to
 * back-off instead of unschedulable. After `MAX_UNSCHEDULABLE_MS` a pod is tried again whatever happened.
 */
import type { ClusterEvent } from "./framework.ts";

export const INITIAL_BACKOFF_MS = 1_000;
export const MAX_BACKOFF_MS = 10_000;
/** Upstream's safety net against a missed event. */
export const MAX_UNSCHEDULABLE_MS = 5 * 60_000;

interface Waiting {
  readonly key: string;
  priority: number;
  /** When it first came: the order among equals. */
  readonly sinceMs: number;
  attempts: number;
  place: Place;
}

type Place =
  | { readonly at: "active" }
  | { readonly at: "backoff"; readonly untilMs: number }
  | {
      readonly at: "unschedulable";
      readonly undoneBy: ReadonlySet<ClusterEvent>;
      readonly sinceMs: number;
      readonly backoffUntilMs: number;
    }
  | { readonly at: "inFlight"; readonly heard: Set<ClusterEvent> };

export class SchedulingQueue {
  readonly #pods = new Map<string, Waiting>();

  /** A pod that wants a node. One that is known keeps its place, unless it is unschedulable: then the change gives it a try. */
  add(key: string, priority: number, nowMs: number): void {
    const known = this.#pods.get(key);
    if (!known) {
      this.#pods.set(key, { key, priority, sinceMs: nowMs, attempts: 0, place: { at: "active" } });
      return;
    }
    known.priority = priority;
    if (known.place.at === "unschedulable") this.#retry(known, known.place.backoffUntilMs, nowMs);
    if (known.place.at === "inFlight") known.place.heard.add("PodChanged");
  }

  /** The pod is gone, bound, or nobody's business any more. */
  remove(key: string): void {
    this.#pods.delete(key);
  }

  /** The next pod to try; it is in flight until `remove`, `rejected` or `failed`. */
  pop(nowMs: number): string | undefined {
    this.#ripen(nowMs);
    let best: Waiting | undefined;
    for (const pod of this.#pods.values()) {
      if (pod.place.at === "active" && (!best || comesBefore(pod, best))) best = pod;
    }
    if (!best) return undefined;
    best.attempts++;
    best.place = { at: "inFlight", heard: new Set() };
    return best.key;
  }

  /** No node fits. It waits for one of the changes that could undo that. */
  rejected(key: string, undoneBy: ReadonlySet<ClusterEvent>, nowMs: number): void {
    const pod = this.#pods.get(key);
    if (pod?.place.at !== "inFlight") return;
    const backoffUntilMs = nowMs + backoffMs(pod.attempts);
    const missed = [...pod.place.heard].some((event) => undoneBy.has(event) || event === "PodChanged");
    pod.place = missed
      ? { at: "backoff", untilMs: backoffUntilMs }
      : { at: "unschedulable", undoneBy, sinceMs: nowMs, backoffUntilMs };
  }

  /** The try failed for a reason that has nothing to do with the cluster's room (the API did not answer): again after back-off. */
  failed(key: string, nowMs: number): void {
    const pod = this.#pods.get(key);
    if (pod?.place.at === "inFlight") pod.place = { at: "backoff", untilMs: nowMs + backoffMs(pod.attempts) };
  }

  /** Something changed in the cluster: pods whose rejection it could undo are tried again. */
  onEvent(event: ClusterEvent, nowMs: number): void {
    for (const pod of this.#pods.values()) {
      if (pod.place.at === "inFlight") pod.place.heard.add(event);
      else if (pod.place.at === "unschedulable" && pod.place.undoneBy.has(event))
        this.#retry(pod, pod.place.backoffUntilMs, nowMs);
    }
  }

  /** When `pop` may have something that it has not now; undefined when only an event can bring it. */
  nextDueMs(): number | undefined {
    const dues = [...this.#pods.values()].flatMap(({ place }) => {
      if (place.at === "backoff") return [place.untilMs];
      return place.at === "unschedulable" ? [place.sinceMs + MAX_UNSCHEDULABLE_MS] : [];
    });
    return dues.length === 0 ? undefined : Math.min(...dues);
  }

  /** How many pods are in each place, for metrics. */
  counts(): Readonly<Record<Place["at"], number>> {
    const counts = { active: 0, backoff: 0, unschedulable: 0, inFlight: 0 };
    for (const { place } of this.#pods.values()) counts[place.at]++;
    return counts;
  }

  #retry(pod: Waiting, backoffUntilMs: number, nowMs: number): void {
    pod.place = backoffUntilMs > nowMs ? { at: "backoff", untilMs: backoffUntilMs } : { at: "active" };
  }

  #ripen(nowMs: number): void {
    for (const pod of this.#pods.values()) {
      const { place } = pod;
      const ripe =
        (place.at === "backoff" && place.untilMs <= nowMs) ||
        (place.at === "unschedulable" && place.sinceMs + MAX_UNSCHEDULABLE_MS <= nowMs);
      if (ripe) pod.place = { at: "active" };
    }
  }
}

function comesBefore(a: Waiting, b: Waiting): boolean {
  return a.priority !== b.priority ? a.priority > b.priority : a.sinceMs < b.sinceMs;
}

function backoffMs(attempts: number): number {
  return Math.min(INITIAL_BACKOFF_MS * 2 ** Math.min(attempts - 1, 10), MAX_BACKOFF_MS);
}
