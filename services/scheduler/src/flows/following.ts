/**
 * What the scheduler hears: it keeps the state true, brings pods that want a node into the queue, and tells the queue of whatever
 * may help those that were refused.
 */
import type { Namespace, Node, Pod } from "@pilothouse/api/types/core-v1";
import type { PodDisruptionBudget } from "@pilothouse/api/types/policy-v1";
import type { Clock } from "@pilothouse/clock";
import { keyOf, splitKey, type Informer, type InformerChange } from "@pilothouse/informer";
import { sameValue } from "@pilothouse/kinds/field-errors";
import type { Scope } from "@pilothouse/lifecycle";
import type { TraceContext } from "@pilothouse/telemetry";
import type { ClusterEvent } from "../core/events.ts";
import type { SchedulingQueue } from "../core/queue.ts";
import { isOver, wantsOtherwise, type ClusterState } from "../core/snapshot.ts";
import type { Storage, StorageInformers } from "./storage.ts";

export interface Informed extends StorageInformers {
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly budgets: Informer<PodDisruptionBudget>;
  readonly namespaces: Informer<Namespace>;
}

export interface FollowingPorts {
  readonly clock: Clock;
  readonly scope: Scope;
  /** Pods with this `spec.schedulerName` are ours. */
  readonly schedulerName: string;
  readonly informed: Informed;
  readonly storage: Storage;
  readonly state: ClusterState;
  readonly queue: SchedulingQueue;
  /** There may be something to try. */
  readonly wake: () => void;
}

/** What woke the scheduler for a pod, and since when it waits. */
export interface Cause {
  readonly trace: TraceContext | undefined;
  readonly sinceMs: number;
}

export class Following {
  readonly #ports: FollowingPorts;
  /** Of pods that wait for a node: those that the queue knows. */
  readonly #causes = new Map<string, Cause>();

  /** Starts with what the informers hold, and ends with the scope. */
  constructor(ports: FollowingPorts) {
    this.#ports = ports;
    const { scope, informed, storage, state } = ports;
    const { nodes, pods, namespaces } = informed;
    for (const node of nodes.list()) state.setNode(node);
    for (const pod of pods.list()) this.#onPod({ type: "added", object: pod, trace: undefined });
    scope.defer(nodes.onChange((change) => this.#onNode(change)));
    scope.defer(pods.onChange((change) => this.#onPod(change)));
    scope.defer(namespaces.onChange((change) => this.#onNamespace(change)));
    storage.follow(scope, (event) => this.happened([event]));
  }

  causeOf(key: string): Cause | undefined {
    return this.#causes.get(key);
  }

  /** The pod as it is now; undefined where it wants no node of us any more, and is forgotten. */
  pending(key: string): Pod | undefined {
    const { namespace, name } = splitKey(key);
    const pod = this.#ports.informed.pods.get(namespace, name);
    if (pod && this.#isPending(pod)) return pod;
    this.forget(key);
    return undefined;
  }

  /** It wants no node any more. */
  forget(key: string): void {
    this.#ports.queue.remove(key);
    this.#causes.delete(key);
  }

  happened(events: readonly ClusterEvent[]): void {
    const { queue, clock, wake } = this.#ports;
    for (const event of events) queue.onEvent(event, clock.monotonicMs());
    if (events.length > 0) wake();
  }

  #onNode({ type, object }: InformerChange<Node>): void {
    const { state } = this.#ports;
    this.happened(type === "deleted" ? state.removeNode(object.metadata.name as string) : state.setNode(object));
  }

  #onNamespace(change: InformerChange<Namespace>): void {
    const before = change.type === "updated" ? change.previous.metadata.labels : undefined;
    const isSame = change.type === "updated" && sameValue(before, change.object.metadata.labels);
    if (!isSame) this.happened([{ what: "namespace changed", namespace: change.object }]);
  }

  #onPod(change: InformerChange<Pod>): void {
    const { object: pod } = change;
    // Another pod of the same name: the news of the end of the one before was missed.
    if (change.type === "updated" && change.previous.metadata.uid !== pod.metadata.uid) this.#gone(change.previous);
    if (change.type === "deleted") this.#gone(pod);
    else if (this.#isPending(pod)) this.#await(change);
    else this.#settled(pod);
  }

  #gone(pod: Pod): void {
    const { state } = this.#ports;
    const key = keyOf(pod);
    this.forget(key);
    this.happened([...state.removePod(key), ...state.withdraw(key)]);
  }

  /** It has a node, is over, is told to go, or is another scheduler's. */
  #settled(pod: Pod): void {
    const { state } = this.#ports;
    const key = keyOf(pod);
    this.forget(key);
    this.happened([...(pod.spec.nodeName ? state.setPod(pod) : []), ...state.withdraw(key)]);
  }

  /** A pod wants a node: remember who asked for it. Writes of our own (its condition) are no reason to try again. */
  #await(change: InformerChange<Pod>): void {
    const { queue, clock, state, wake } = this.#ports;
    const { object: pod, trace } = change;
    const key = keyOf(pod);
    const isKnown = this.#causes.has(key);
    // Bound already; what says so is on its way.
    if (!isKnown && state.isAssumed(key)) return;
    this.#hearNomination(key, pod);
    if (isKnown && !(change.type === "updated" && wantsOtherwise(change.previous, pod))) return;
    if (!isKnown) this.#causes.set(key, { trace, sinceMs: clock.now() });
    queue.add(key, pod.spec.priority ?? 0, clock.monotonicMs());
    wake();
  }

  /** What an earlier leader promised it; what we promised ourselves is newer than what is told. */
  #hearNomination(key: string, pod: Pod): void {
    const { state } = this.#ports;
    const told = pod.status?.nominatedNodeName;
    const known = state.nominatedNode(key);
    if (known !== undefined) this.happened(state.nominate(pod, known));
    else if (told && !this.#causes.has(key)) this.happened(state.nominate(pod, told));
  }

  #isPending(pod: Pod): boolean {
    const { nodeName, schedulerName = "default-scheduler", schedulingGates = [] } = pod.spec;
    const isOurs = schedulerName === this.#ports.schedulerName && schedulingGates.length === 0;
    return isOurs && !nodeName && !pod.metadata.deletionTimestamp && !isOver(pod);
  }
}
