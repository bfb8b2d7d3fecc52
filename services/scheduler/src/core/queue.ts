/**
 * The scheduling queue, pure: which pod is tried next, and which rejected pod deserves another try.
 *
 * A pod is in exactly one place: *active* (to be tried, highest priority first, then longest waiting), *backing off* (tried
 * not long ago), *unschedulable* (waits for a change that could undo its rejection), or *in flight* (handed out by `pop`).
 * Promises: an event that can undo no rejection of a pod leaves it where it is; one that can gives it a try after its back-off,
 * also when it happened while the pod was in flight. After `MAX_UNSCHEDULABLE_MS` a pod is tried again whatever happened.
 * Limits: of a pod in flight 1,000 events are remembered; beyond, its rejection counts as undone.
 */
import type { ClusterEvent } from "./events.ts";

export const INITIAL_BACKOFF_MS = 1_000;
export const MAX_BACKOFF_MS = 10_000;
/** Upstream's safety net against a missed event. */
export const MAX_UNSCHEDULABLE_MS = 5 * 60_000;
const MAX_HEARD = 1_000;

/** Whether the event may make another try worth it. */
export type UndoneBy = (event: ClusterEvent) => boolean;

interface Waiting {
  readonly key: string;
  priority: number;
  /** When it came, or was tried last: the order among equals. Who was tried goes behind those who were not. */
  sinceMs: number;
  /** The order among those of one moment. */
  turn: number;
  attempts: number;
  place: Place;
}

type Place =
  | { readonly at: "active" }
  | { readonly at: "backoff"; readonly untilMs: number }
  | {
      readonly at: "unschedulable";
      readonly undoneBy: UndoneBy;
      readonly sinceMs: number;
      readonly backoffUntilMs: number;
    }
  | {
      readonly at: "inFlight";
      readonly heard: ClusterEvent[];
      /** What it is tried with is not what it is any more. */
      outdated: boolean;
    };

export class SchedulingQueue {
  readonly #pods = new Map<string, Waiting>();
  #turn = 0;
  /** Those to whom events matter: in flight or unschedulable. */
  readonly #listening = new Set<Waiting>();

  /** A pod that wants a node. One that is known keeps its place, unless it is unschedulable: then the change gives it a try. */
  add(key: string, priority: number, nowMs: number): void {
    const known = this.#pods.get(key);
    if (!known) {
      const turn = this.#turn++;
      this.#pods.set(key, { key, priority, sinceMs: nowMs, turn, attempts: 0, place: { at: "active" } });
      return;
    }
    known.priority = priority;
    if (known.place.at === "unschedulable") this.#retry(known, known.place.backoffUntilMs, nowMs);
    if (known.place.at === "inFlight") known.place.outdated = true;
  }

  /** The pod is gone, bound, or nobody's business any more. */
  remove(key: string): void {
    const pod = this.#pods.get(key);
    if (!pod) return;
    this.#pods.delete(key);
    this.#listening.delete(pod);
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
    this.#move(best, { at: "inFlight", heard: [], outdated: false });
    return best.key;
  }

  /** No node fits. It waits for an event that could undo that. */
  rejected(key: string, undoneBy: UndoneBy, nowMs: number): void {
    const pod = this.#pods.get(key);
    if (pod?.place.at !== "inFlight") return;
    this.#wasTried(pod, nowMs);
    const backoffUntilMs = nowMs + backoffMs(pod.attempts);
    const { heard, outdated } = pod.place;
    const isUndone = outdated || heard.length >= MAX_HEARD || heard.some(undoneBy);
    if (isUndone) this.#move(pod, { at: "backoff", untilMs: backoffUntilMs });
    else this.#move(pod, { at: "unschedulable", undoneBy, sinceMs: nowMs, backoffUntilMs });
  }

  /** The try failed for a reason that has nothing to do with the cluster's room (the API did not answer): again after back-off. */
  failed(key: string, nowMs: number): void {
    const pod = this.#pods.get(key);
    if (pod?.place.at !== "inFlight") return;
    this.#wasTried(pod, nowMs);
    this.#move(pod, { at: "backoff", untilMs: nowMs + backoffMs(pod.attempts) });
  }

  /** Something changed in the cluster: pods whose rejection it could undo are tried again. */
  onEvent(event: ClusterEvent, nowMs: number): void {
    for (const pod of this.#listening) {
      const { place } = pod;
      if (place.at === "inFlight" && place.heard.length < MAX_HEARD) place.heard.push(event);
      else if (place.at === "unschedulable" && place.undoneBy(event)) this.#retry(pod, place.backoffUntilMs, nowMs);
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
    this.#move(pod, backoffUntilMs > nowMs ? { at: "backoff", untilMs: backoffUntilMs } : { at: "active" });
  }

  #wasTried(pod: Waiting, nowMs: number): void {
    pod.sinceMs = nowMs;
    pod.turn = this.#turn++;
  }

  #move(pod: Waiting, place: Place): void {
    pod.place = place;
    if (place.at === "inFlight" || place.at === "unschedulable") this.#listening.add(pod);
    else this.#listening.delete(pod);
  }

  #ripen(nowMs: number): void {
    for (const pod of this.#pods.values()) {
      const { place } = pod;
      const ripe =
        (place.at === "backoff" && place.untilMs <= nowMs) ||
        (place.at === "unschedulable" && place.sinceMs + MAX_UNSCHEDULABLE_MS <= nowMs);
      if (ripe) this.#move(pod, { at: "active" });
    }
  }
}

function comesBefore(a: Waiting, b: Waiting): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  return a.sinceMs !== b.sinceMs ? a.sinceMs < b.sinceMs : a.turn < b.turn;
}

function backoffMs(attempts: number): number {
  return Math.min(INITIAL_BACKOFF_MS * 2 ** Math.min(attempts - 1, 10), MAX_BACKOFF_MS);
}
