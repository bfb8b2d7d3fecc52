/**
 * The cluster as one scheduling cycle sees it: nodes with the pods on them and what these use.
 *
 * `ClusterState` is kept up to date by what is heard and decided (one writer: flows/) and hands out snapshots. A pod that was
 * decided but whose binding is not yet heard of is *assumed*: it counts on its node until the API confirms or the binding fails.
 * Promise: nothing changes what a snapshot shows of nodes and pods without being answered as an event: whoever waits for one
 * that helps waits for all that could.
 */
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import { hostPortsOf, type HostPort } from "@pilothouse/kinds/core/host-ports";
import { nodeAllocatable, podRequests, podRequestsNonZero, type Resources } from "@pilothouse/kinds/core/pod-resources";
import { sameValue } from "@pilothouse/kinds/field-errors";
import type { ClusterEvent } from "./events.ts";

export interface NodeSnapshot {
  readonly name: string;
  readonly node: Node;
  readonly pods: readonly Pod[];
  readonly allocatable: Resources;
  /** Sum of the requests of the pods on it. */
  readonly requested: Resources;
  readonly requestedNonZero: Resources;
  /** `protocol/hostIP/port` of every host port in use. */
  readonly hostPorts: readonly HostPort[];
}

/** Claims, volumes and classes, as they are shown; volumes that were chosen but not yet told are their claims' already. */
export interface StorageView {
  readonly claim: (namespace: string, name: string) => PersistentVolumeClaim | undefined;
  readonly volumes: () => readonly PersistentVolume[];
  readonly storageClass: (name: string) => StorageClass | undefined;
}

const NO_STORAGE: StorageView = { claim: () => undefined, volumes: () => [], storageClass: () => undefined };

export interface Snapshot {
  readonly nodes: readonly NodeSnapshot[];
  /** By a node's name: its place in `nodes`. */
  readonly placeOf: ReadonlyMap<string, number>;
  /** Pods that wait for others to leave a node, by that node's name: what they need there is spoken for. */
  readonly nominated: ReadonlyMap<string, readonly Pod[]>;
  /** Undefined for a namespace that is not known. */
  readonly namespaceLabels: (namespace: string) => Readonly<Record<string, string>> | undefined;
  readonly storage: StorageView;
}

/** What a snapshot shows beside nodes and pods: always as it is now. */
export type Surroundings = Pick<Snapshot, "namespaceLabels" | "storage">;

export function nodeNamed({ nodes, placeOf }: Snapshot, name: string): NodeSnapshot | undefined {
  return nodes[placeOf.get(name) ?? -1];
}

/** As the cluster would be with this node in the place of the one of its name. */
export function withNode(snapshot: Snapshot, changed: NodeSnapshot): Snapshot {
  const place = snapshot.placeOf.get(changed.name);
  return place === undefined ? snapshot : { ...snapshot, nodes: snapshot.nodes.with(place, changed) };
}

/** Labels decide where others let it be, the spec where it may be at all. */
export function wantsOtherwise(before: Pod, pod: Pod): boolean {
  return !sameValue(before.spec, pod.spec) || !sameValue(before.metadata.labels, pod.metadata.labels);
}

/** `namespace/name`, by which pods are known here. */
export function podKey(pod: Pod): string {
  return `${pod.metadata.namespace}/${pod.metadata.name}`;
}

export class ClusterState {
  readonly #nodes = new Map<string, Node>();
  readonly #podsByNode = new Map<string, Map<string, Pod>>();
  readonly #nodeOfPod = new Map<string, string>();
  readonly #assumed = new Map<string, Pod>();
  readonly #nominations = new Map<string, { readonly pod: Pod; readonly nodeName: string }>();
  readonly #surroundings: Surroundings;
  /** Snapshots of nodes that did not change since the last cycle are shared with it. */
  readonly #built = new Map<string, NodeSnapshot>();
  /** Until a node comes or goes. */
  #placeOf: ReadonlyMap<string, number> | undefined;

  constructor({ namespaceLabels = () => undefined, storage = NO_STORAGE }: Partial<Surroundings> = {}) {
    this.#surroundings = { namespaceLabels, storage };
  }

  setNode(node: Node): readonly ClusterEvent[] {
    const name = node.metadata.name as string;
    const before = this.#nodes.get(name);
    this.#nodes.set(name, node);
    this.#built.delete(name);
    if (before) return [{ what: "node changed", before, node }];
    this.#placeOf = undefined;
    return [{ what: "node added", node }];
  }

  removeNode(name: string): readonly ClusterEvent[] {
    const node = this.#nodes.get(name);
    if (!node) return [];
    this.#nodes.delete(name);
    this.#built.delete(name);
    this.#placeOf = undefined;
    return [{ what: "node removed", node }];
  }

  /** A pod that the API shows on a node (`spec.nodeName`); ended pods use nothing. Confirms an assumption. */
  setPod(pod: Pod): readonly ClusterEvent[] {
    const key = podKey(pod);
    this.#assumed.delete(key);
    return this.#place(key, isOver(pod) ? undefined : pod.spec.nodeName, pod);
  }

  removePod(key: string): readonly ClusterEvent[] {
    this.#assumed.delete(key);
    return this.#place(key, undefined);
  }

  /** Counts the pod on the node from now on, until the API confirms it or `forget`. */
  assume(pod: Pod, nodeName: string): readonly ClusterEvent[] {
    const placed = { ...pod, spec: { ...pod.spec, nodeName } };
    this.#assumed.set(podKey(pod), placed);
    return this.#place(podKey(pod), nodeName, placed);
  }

  /** Decided, and not yet told. */
  isAssumed(key: string): boolean {
    return this.#assumed.has(key);
  }

  /** The binding failed: the pod is on no node. */
  forget(pod: Pod): readonly ClusterEvent[] {
    return this.#assumed.delete(podKey(pod)) ? this.#place(podKey(pod), undefined) : [];
  }

  /** The pod waits for others to leave the node. It is not on it, but those less important must leave it the room. */
  nominate(pod: Pod, nodeName: string): readonly ClusterEvent[] {
    const key = podKey(pod);
    const before = this.#nominations.get(key);
    const isSame = before?.nodeName === nodeName && before.pod.metadata.uid === pod.metadata.uid;
    const events = isSame ? [] : this.withdraw(key);
    this.#nominations.set(key, { pod, nodeName });
    if (!isSame || !wantsOtherwise(before.pod, pod)) return events;
    return [{ what: "pod changed", before: before.pod, pod }];
  }

  /** It waits no more: it has a node, is gone, or must look for another. */
  withdraw(key: string): readonly ClusterEvent[] {
    const nomination = this.#nominations.get(key);
    this.#nominations.delete(key);
    if (!nomination || this.#nodeOfPod.get(key) === nomination.nodeName) return [];
    return [{ what: "pod left", pod: nomination.pod }];
  }

  nominatedNode(key: string): string | undefined {
    return this.#nominations.get(key)?.nodeName;
  }

  snapshot(): Snapshot {
    const nominated = new Map<string, Pod[]>();
    for (const { pod, nodeName } of this.#nominations.values()) {
      nominated.set(nodeName, [...(nominated.get(nodeName) ?? []), pod]);
    }
    const nodes = [...this.#nodes].map(([name, node]) => this.#build(name, node));
    this.#placeOf ??= new Map(nodes.map(({ name }, place) => [name, place]));
    return { nodes, placeOf: this.#placeOf, nominated, ...this.#surroundings };
  }

  #place(key: string, nodeName: string | undefined, pod?: Pod): readonly ClusterEvent[] {
    const left = this.#takeFrom(key);
    if (!nodeName || !pod) return left ? [{ what: "pod left", pod: left.pod }] : [];
    this.#nodeOfPod.set(key, nodeName);
    const pods = this.#podsByNode.get(nodeName) ?? new Map<string, Pod>();
    this.#podsByNode.set(nodeName, pods.set(key, pod));
    this.#built.delete(nodeName);
    if (!left) return [{ what: "pod placed", pod }];
    if (left.nodeName === nodeName && left.pod.metadata.uid === pod.metadata.uid)
      return [{ what: "pod changed", before: left.pod, pod }];
    return [
      { what: "pod left", pod: left.pod },
      { what: "pod placed", pod },
    ];
  }

  #takeFrom(key: string): { readonly nodeName: string; readonly pod: Pod } | undefined {
    const nodeName = this.#nodeOfPod.get(key);
    const pods = nodeName === undefined ? undefined : this.#podsByNode.get(nodeName);
    const pod = pods?.get(key);
    if (nodeName === undefined || !pods || !pod) return undefined;
    pods.delete(key);
    if (pods.size === 0) this.#podsByNode.delete(nodeName);
    this.#nodeOfPod.delete(key);
    this.#built.delete(nodeName);
    return { nodeName, pod };
  }

  #build(name: string, node: Node): NodeSnapshot {
    const known = this.#built.get(name);
    if (known) return known;
    const built = snapshotOf(name, node, [...(this.#podsByNode.get(name)?.values() ?? [])]);
    this.#built.set(name, built);
    return built;
  }
}

/** The node as it would be with these pods on it, and no others. */
export function withPods({ name, node }: NodeSnapshot, pods: readonly Pod[]): NodeSnapshot {
  return snapshotOf(name, node, pods);
}

function snapshotOf(name: string, node: Node, pods: readonly Pod[]): NodeSnapshot {
  return {
    name,
    node,
    pods,
    allocatable: nodeAllocatable(node),
    requested: total(pods.map(podRequests)),
    requestedNonZero: total(pods.map(podRequestsNonZero)),
    hostPorts: pods.flatMap(hostPortsOf),
  };
}

/** Succeeded or Failed: it will never run again and uses nothing. */
export function isOver(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

function total(all: readonly Resources[]): Resources {
  const sum = new Map<string, number>();
  for (const one of all) for (const [name, value] of one) sum.set(name, (sum.get(name) ?? 0) + value);
  return sum.set("pods", all.length);
}
