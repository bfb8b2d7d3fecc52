/**
 * The node lifecycle controller: notices nodes that are silent, taints nodes by their state, and moves pods away from nodes that
 * are lost.
 *
 * Promises (C13): a node is called silent only after its lease was read consistently; a pod is evicted only after node and pod
 * were. A new leader gives every node its whole grace again. Each zone's nodes are given up at a pace of their own; when no node
 * of any zone is heard of, no pod is moved.
 */
import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { done, followChanges, inParallel, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { keyOf, splitKey, type InformerChange } from "@pilothouse/informer";
import type { TraceContext } from "@pilothouse/telemetry";
import { WorkQueue } from "@pilothouse/workqueue";
import { startWorkers } from "../../start-workers.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { withCondition } from "../../core/conditions.ts";
import { podCondition } from "../../core/pods.ts";
import { timestampOf } from "../../core/values.ts";
import type { Cause } from "../../executor.ts";
import { BY_NODE, NODE_LEASES_NAMESPACE } from "../../informers.ts";
import { Heartbeats } from "./heartbeats.ts";
import { evictionAtMs, graceMs, plan, type NodeAction } from "./plan.ts";
import { areAllDown, isBeingLeft, isToBeLeft, paceOf, readyStatus, zoneOf } from "./rules.ts";

const WORKERS = 4;
const PARALLEL_PODS = 16;

export function startNodeLifecycleController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const queue = new WorkQueue({ name: "node-lifecycle", clock, tracer: telemetry.tracer });
  const heartbeats = new Heartbeats();
  followChanges(scope, informers.nodeLeases, ({ type, object }) => {
    if (type !== "deleted") heartbeats.sawLease(object.metadata.name ?? "", object, clock.monotonicMs());
  });
  const controller = new NodeLifecycleController(ports, heartbeats);
  followChanges(scope, informers.nodes, (change) => {
    const { object, trace } = change;
    if (change.type === "deleted") heartbeats.forget(object.metadata.name ?? "");
    else heartbeats.sawNode(object, clock.monotonicMs());
    controller.tellComingAndGoing(change);
    queue.add(object.metadata.name ?? "", trace);
    // How fast nodes may be given up depends on how many are well, and where.
    if (change.type !== "updated" || countsDifferently(change.previous, object))
      for (const node of informers.nodes.list()) if (isToBeLeft(node)) queue.add(node.metadata.name ?? "", trace);
  });
  followChanges(scope, informers.pods, ({ type, object, trace }) => {
    const node = type === "deleted" ? undefined : informers.nodes.get("", object.spec.nodeName ?? "");
    if (node && concernsPods(node)) queue.add(node.metadata.name ?? "", trace);
  });
  startWorkers(ports, { name: "node-lifecycle", queue, workers: WORKERS, controller });
}

function countsDifferently(previous: Node, node: Node): boolean {
  return readyStatus(previous) !== readyStatus(node) || zoneOf(previous) !== zoneOf(node);
}

function concernsPods(node: Node): boolean {
  const taints = node.spec?.taints ?? [];
  return readyStatus(node) === "Unknown" || taints.some(({ effect }) => effect === "NoExecute");
}

class NodeLifecycleController {
  readonly #ports: ControllerPorts;
  readonly #heartbeats: Heartbeats;
  readonly ownWrites = new OwnWrites();
  readonly #nodeEvents;
  readonly #taintEvents;
  /** When the last node of a zone was given up. */
  readonly #gaveUpAtMs = new Map<string, number>();
  /** By node: its pods that were to go when it was last looked at. */
  readonly #toGo = new Map<string, ReadonlySet<string>>();

  constructor(ports: ControllerPorts, heartbeats: Heartbeats) {
    this.#ports = ports;
    this.#heartbeats = heartbeats;
    this.#nodeEvents = ports.events("node-controller");
    this.#taintEvents = ports.events("taint-eviction-controller");
  }

  /** Each leader tells of every node that it takes into its care, as upstream's does. */
  tellComingAndGoing({ type, object, trace }: InformerChange<Node>): void {
    const { name = "" } = object.metadata;
    if (type === "added")
      this.#tellNode(object, "RegisteredNode", `event: Registered Node ${name} in Controller`, trace);
    if (type === "deleted")
      this.#tellNode(object, "RemovingNode", `event: Removing Node ${name} from Controller`, trace);
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers, clock } = this.#ports;
    const node = informers.nodes.get("", key);
    if (!node) {
      this.ownWrites.forget(key);
      this.#toGo.delete(key);
      return done;
    }
    const cause: Cause = { key, trace, signal, ownWrites: this.ownWrites };
    const silentMs = await this.#silentMs(node, cause);
    const pods = concernsPods(node) ? informers.pods.byIndex(BY_NODE, key) : [];
    this.#tellWhoMayStay(node, pods, trace);
    const mayEvict = isToBeLeft(node) && this.#mayBeGivenUp(node);
    const actions = plan({ node, pods, silentMs, mayEvict }, clock.now());
    await inParallel(actions, PARALLEL_PODS, (action) => this.#execute(node, action, cause));
    return this.#nextLook(node, pods, silentMs);
  }

  /** Before a node is called silent, the API itself is asked: it may be the cache that is. */
  async #silentMs(node: Node, cause: Cause): Promise<number> {
    const { clock, executor } = this.#ports;
    const { name = "" } = node.metadata;
    const silentMs = this.#heartbeats.silentMs(name, clock.monotonicMs());
    if (silentMs <= graceMs(node) || readyStatus(node) === "Unknown") return silentMs;
    const lease = await executor.read(resources.leases, NODE_LEASES_NAMESPACE, name, cause);
    if (lease) this.#heartbeats.sawLease(name, lease, clock.monotonicMs());
    return this.#heartbeats.silentMs(name, clock.monotonicMs());
  }

  /** One that was given up stays so, unless no node at all is well. */
  #mayBeGivenUp(node: Node): boolean {
    const pace = paceOf(node, this.#ports.informers.nodes.list());
    if (isBeingLeft(node)) return !areAllDown(pace);
    return pace.intervalMs !== undefined && this.#turnInMs(node, pace.intervalMs) <= 0;
  }

  /** Until its zone may lose another node. */
  #turnInMs(node: Node, intervalMs: number): number {
    const lastMs = this.#gaveUpAtMs.get(zoneOf(node));
    return lastMs === undefined ? 0 : lastMs + intervalMs - this.#ports.clock.monotonicMs();
  }

  async #execute(node: Node, action: NodeAction, cause: Cause): Promise<void> {
    const { executor, informers, clock } = this.#ports;
    switch (action.do) {
      case "set conditions": {
        const status = { ...node.status, conditions: [...action.conditions] };
        await executor.updateStatus(informers.nodes, { ...node, status }, cause);
        if (readyStatus(node) === "True")
          this.#tellNode(node, "NodeNotReady", "status is now: NodeNotReady", cause.trace);
        return;
      }
      case "set taints": {
        const { uid, resourceVersion } = node.metadata;
        const taints = action.taints.length > 0 ? action.taints : null;
        const tainted = { ...node, spec: { ...node.spec, taints: [...action.taints] } };
        // The turn is taken before the write: another worker may be about to ask.
        if (isBeingLeft(tainted) && !isBeingLeft(node)) this.#gaveUpAtMs.set(zoneOf(node), clock.monotonicMs());
        await executor.patch(informers.nodes, node, { metadata: { uid, resourceVersion }, spec: { taints } }, cause);
        return;
      }
      case "mark not ready":
        await this.#markNotReady(action.pod, cause);
        return;
      case "evict":
        await this.#evict(node, action.pod, cause);
    }
  }

  async #markNotReady(pod: Pod, cause: Cause): Promise<void> {
    const { executor, informers, clock } = this.#ports;
    const ready = podCondition(pod, "Ready");
    if (!ready) return;
    const notReady = { ...ready, status: "False", lastTransitionTime: timestampOf(clock.now()) };
    const conditions = withCondition(pod.status?.conditions, notReady);
    await executor.updateStatus(informers.pods, { ...pod, status: { ...pod.status, conditions } }, cause);
    const target = { apiVersion: "v1", kind: "Pod", object: pod };
    this.#nodeEvents.record(target, "Warning", "NodeNotReady", "Node is not ready", cause.trace);
  }

  /** Judged once more, on the node and the pod as the API has them now. */
  async #evict(node: Node, { metadata }: Pod, cause: Cause): Promise<void> {
    const { executor, informers, clock } = this.#ports;
    const { namespace = "", name = "", uid } = metadata;
    const [freshNode, pod] = await Promise.all([
      executor.read(resources.nodes, "", node.metadata.name ?? "", cause),
      executor.read(resources.pods, namespace, name, cause),
    ]);
    if (pod?.metadata.uid !== uid || !pod || freshNode?.metadata.uid !== node.metadata.uid) return;
    const atMs = evictionAtMs(pod, freshNode?.spec.taints ?? [], clock.now());
    if (atMs === undefined || atMs > clock.now()) return;
    const target = { apiVersion: "v1", kind: "Pod", object: pod };
    const message = `Marking for deletion Pod ${namespace}/${name}`;
    this.#taintEvents.record(target, "Normal", "TaintManagerEviction", message, cause.trace);
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByTaintManager",
      message: "Taint manager: deleting due to NoExecute taint",
      lastTransitionTime: timestampOf(clock.now()),
    };
    const conditions = withCondition(pod.status?.conditions, condition);
    await executor.updateStatus(informers.pods, { ...pod, status: { ...pod.status, conditions } }, cause);
    await executor.delete(informers.pods, pod, cause);
  }

  #nextLook(node: Node, pods: readonly Pod[], silentMs: number): Outcome {
    const { clock, informers } = this.#ports;
    const nowMs = clock.now();
    const waits = pods
      .map((pod) => evictionAtMs(pod, node.spec?.taints ?? [], nowMs))
      .filter((atMs) => atMs !== undefined && atMs > nowMs)
      .map((atMs) => (atMs as number) - nowMs);
    if (silentMs <= graceMs(node)) waits.push(graceMs(node) - silentMs + 1);
    const { intervalMs } = paceOf(node, informers.nodes.list());
    const turnInMs = intervalMs === undefined ? 0 : this.#turnInMs(node, intervalMs);
    if (isToBeLeft(node) && !isBeingLeft(node) && turnInMs > 0) waits.push(turnInMs);
    return waits.length === 0 ? done : requeueAfter(Math.min(...waits), "a grace or a toleration ends");
  }

  #tellNode(object: Node, reason: string, what: string, trace: TraceContext | undefined): void {
    const message = `Node ${object.metadata.name ?? ""} ${what}`;
    this.#nodeEvents.record({ apiVersion: "v1", kind: "Node", object }, "Normal", reason, message, trace);
  }

  /** Of pods whose end was to come and comes no more. */
  #tellWhoMayStay({ metadata, spec }: Node, pods: readonly Pod[], trace: TraceContext): void {
    const { informers, clock } = this.#ports;
    const { name: nodeName = "" } = metadata;
    const mustGo = (pod: Pod): boolean => evictionAtMs(pod, spec?.taints ?? [], clock.now()) !== undefined;
    const toGo = new Set(pods.filter(mustGo).map(keyOf));
    for (const key of this.#toGo.get(nodeName) ?? []) {
      const { namespace, name } = splitKey(key);
      const object = informers.pods.get(namespace, name);
      if (toGo.has(key) || !object || object.metadata.deletionTimestamp !== undefined) continue;
      const target = { apiVersion: "v1", kind: "Pod", object };
      this.#taintEvents.record(target, "Normal", "TaintManagerEviction", `Cancelling deletion of Pod ${key}`, trace);
    }
    this.#toGo.set(nodeName, toGo);
  }
}
