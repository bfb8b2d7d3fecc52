/**
 * The cluster as one scheduling cycle sees it: nodes with the pods on them and what these use.
 *
 * `ClusterState` is kept up to date by events (one writer: flows/schedule.ts) and hands out snapshots. A pod that was decided
 * but whose binding is not yet heard of is *assumed*: it counts on its node until the API confirms or the binding fails.
 */
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import { hostPortsOf, type HostPort } from "@pilothouse/kinds/core/host-ports";
import { nodeAllocatable, podRequests, podRequestsNonZero, type Resources } from "@pilothouse/kinds/core/pod-resources";

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
  /** Pods that wait for others to leave a node, by that node's name: what they need there is spoken for. */
  readonly nominated: ReadonlyMap<string, readonly Pod[]>;
  /** Undefined for a namespace that is not known. */
  readonly namespaceLabels: (namespace: string) => Readonly<Record<string, string>> | undefined;
  readonly storage: StorageView;
}

/** What a snapshot shows beside nodes and pods. */
export type Surroundings = Partial<Pick<Snapshot, "namespaceLabels" | "storage">>;

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
  readonly #surroundings: Pick<Snapshot, "namespaceLabels" | "storage">;
  /** Snapshots of nodes that did not change since the last cycle are shared with it. */
  readonly #built = new Map<string, NodeSnapshot>();

  constructor({ namespaceLabels = () => undefined, storage = NO_STORAGE }: Surroundings = {}) {
    this.#surroundings = { namespaceLabels, storage };
  }

  setNode(node: Node): void {
    this.#nodes.set(node.metadata.name as string, node);
    this.#built.delete(node.metadata.name as string);
  }

  removeNode(name: string): void {
    this.#nodes.delete(name);
    this.#built.delete(name);
  }

  /** A pod that the API shows on a node (`spec.nodeName`); ended pods use nothing. Confirms an assumption. */
  setPod(pod: Pod): void {
    const key = podKey(pod);
    this.#assumed.delete(key);
    this.#place(key, isOver(pod) ? undefined : pod.spec.nodeName, pod);
  }

  removePod(key: string): void {
    this.#assumed.delete(key);
    this.#place(key, undefined);
  }

  /** Counts the pod on the node from now on, until the API confirms it or `forget`. */
  assume(pod: Pod, nodeName: string): void {
    const placed = { ...pod, spec: { ...pod.spec, nodeName } };
    this.#assumed.set(podKey(pod), placed);
    this.#place(podKey(pod), nodeName, placed);
  }

  /** The binding failed: the pod is on no node. */
  forget(pod: Pod): void {
    if (this.#assumed.delete(podKey(pod))) this.#place(podKey(pod), undefined);
  }

  /** The pod waits for others to leave the node. It is not on it, but those less important must leave it the room. */
  nominate(pod: Pod, nodeName: string): void {
    this.#nominations.set(podKey(pod), { pod, nodeName });
  }

  /** It waits no more: it has a node, is gone, or must look for another. */
  withdraw(key: string): void {
    this.#nominations.delete(key);
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
    return { nodes, nominated, ...this.#surroundings };
  }

  #place(key: string, nodeName: string | undefined, pod?: Pod): void {
    const before = this.#nodeOfPod.get(key);
    if (before !== undefined) {
      this.#podsByNode.get(before)?.delete(key);
      this.#built.delete(before);
    }
    if (!nodeName || !pod) {
      this.#nodeOfPod.delete(key);
      return;
    }
    this.#nodeOfPod.set(key, nodeName);
    const pods = this.#podsByNode.get(nodeName) ?? new Map<string, Pod>();
    this.#podsByNode.set(nodeName, pods.set(key, pod));
    this.#built.delete(nodeName);
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
