/** The DaemonSet controller: hears of DaemonSets, nodes, pods and revisions; reads, plans, executes, tells. */
import type { ControllerRevision, DaemonSet, DaemonSetStatus } from "@pilothouse/api/types/apps-v1";
import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import type { KubernetesObject } from "@pilothouse/client";
import { done, followChanges, inParallel, OwnWrites, requeueAfter, slowStart } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { keyOf, splitKey, type Informer } from "@pilothouse/informer";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";
import type { TraceContext } from "@pilothouse/telemetry";
import { WorkQueue } from "@pilothouse/workqueue";
import { adopt, release } from "../../claiming.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { isNamespaceLeaving } from "../../core/namespace-leaving.ts";
import { nameSuffix } from "../../core/names.ts";
import { claim, controllerOf } from "../../core/ownership.ts";
import { podAvailableAtMs } from "../../core/pods.ts";
import { planRevision, POD_REVISION_LABEL } from "../../core/revisions.ts";
import { sameCounts } from "../../core/values.ts";
import type { Cause } from "../../executor.ts";
import { BY_CONTROLLER, BY_NAMESPACE, BY_ORPHAN_NAMESPACE } from "../../informers.ts";
import { establishRevision } from "../../revisions.ts";
import { startWorkers } from "../../start-workers.ts";
import { Failures } from "./failures.ts";
import { ownerOf, podFor, verdictOn } from "./rules.ts";
import { statusOf, surplusRevisions } from "./plan-status.ts";
import type { DaemonSetPlan, DaemonSetWorld } from "./plan-world.ts";
import { plan } from "./plan.ts";

const WORKERS = 2;
const PARALLEL = 16;
/** At most this many creates, and deletes, at a time. */
const BURST = 250;
const EVERYTHING = "This daemon set is selecting all pods. A non-empty selector is required.";

export function startDaemonSetController(ports: ControllerPorts): void {
  const { clock, telemetry } = ports;
  const queue = new WorkQueue({ name: "daemonset", clock, tracer: telemetry.tracer });
  const controller = new DaemonSetController(ports);
  follow(ports, queue);
  startWorkers(ports, { name: "daemonset", queue, workers: WORKERS, controller });
}

function follow({ scope, informers }: ControllerPorts, queue: WorkQueue): void {
  const { daemonSets, controllerRevisions, pods, nodes } = informers;
  followChanges(scope, daemonSets, ({ object, trace }) => void queue.add(keyOf(object), trace));
  followOwned(pods, () => true);
  // One that was made is news of ours, or nobody's business yet.
  followOwned(controllerRevisions, (type, revision) => type !== "added" || !controllerOf(revision));
  followChanges(scope, nodes, (change) => {
    const before = change.type === "updated" ? change.previous : undefined;
    if (before && sameForDaemons(before, change.object)) return;
    for (const set of daemonSets.list())
      if (!before || !sameValue(verdictOn(set, before), verdictOn(set, change.object)))
        queue.add(keyOf(set), change.trace);
  });

  function followOwned<T extends KubernetesObject>(
    informer: Informer<T>,
    concerns: (type: string, object: T) => boolean,
  ) {
    followChanges(scope, informer, (change) => {
      if (!concerns(change.type, change.object)) return;
      wake(change.object, change.trace);
      if (change.type === "updated" && controllerOf(change.previous)?.uid !== controllerOf(change.object)?.uid)
        wake(change.previous, change.trace);
    });
  }
  function wake(object: KubernetesObject, trace: TraceContext | undefined): void {
    const controller = controllerOf(object);
    const { namespace = "", labels } = object.metadata;
    if (controller?.kind === "DaemonSet") queue.add(`${namespace}/${controller.name}`, trace);
    else if (!controller)
      for (const set of daemonSets.byIndex(BY_NAMESPACE, namespace))
        if (matchesLabels(labelSelectorOf(set.spec.selector), labels)) queue.add(keyOf(set), trace);
  }
}

/** Nodes tell of themselves all the time; only labels and taints decide. */
function sameForDaemons(a: Node, b: Node): boolean {
  return sameValue(a.metadata.labels, b.metadata.labels) && sameValue(a.spec.taints, b.spec.taints);
}

class DaemonSetController {
  readonly #ports: ControllerPorts;
  readonly ownWrites = new OwnWrites();
  readonly #failures = new Failures();
  readonly #events;

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
    this.#events = ports.events("daemonset-controller");
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers, clock } = this.#ports;
    const { namespace, name } = splitKey(key);
    const set = informers.daemonSets.get(namespace, name);
    if (!set) {
      this.ownWrites.forget(key);
      return done;
    }
    const cause: Cause = { key, trace, signal, ownWrites: this.ownWrites };
    if (Object.keys(set.spec.selector ?? {}).length === 0) {
      this.#record(set, "Warning", "SelectingAll", EVERYTHING, cause);
      return done;
    }
    if (set.metadata.deletionTimestamp !== undefined) return done;
    const pods = await this.#claim(set, informers.pods, cause);
    const revisions = planRevision(set.spec.template, await this.#claim(set, informers.controllerRevisions, cause));
    const naming = { collisionCount: set.status?.collisionCount ?? 0, hashLabel: POD_REVISION_LABEL };
    const current = await establishRevision({ ...this.#ports, cause }, ownerOf(set), revisions, naming);
    const hash = current.revision.metadata.labels?.[POD_REVISION_LABEL] ?? "";
    await this.#mergeDuplicates(revisions.duplicates, hash, pods, cause);
    const nowMs = clock.now();
    const backoffUntilMs = (nodeName: string): number => this.#failures.untilMs(failureKey(set, nodeName), nowMs);
    const world: DaemonSetWorld = { set, pods, nodes: informers.nodes.list(), hash, backoffUntilMs, nowMs };
    const planned = plan(world);
    const failure = await this.#execute(world, planned, cause);
    await this.#tellStatus(set, statusOf(world, current.collisionCount), cause);
    if (failure) throw failure.error;
    await this.#forget(surplusRevisions(set, revisions.old, pods), cause);
    const wakeAtMs = Math.min(planned.wakeAtMs ?? Infinity, nextAvailabilityMs(world));
    return wakeAtMs === Infinity ? done : requeueAfter(wakeAtMs - nowMs, "pods become available, or may be made again");
  }

  /** What is the set's own, after it has adopted and released what it should. */
  async #claim<T extends KubernetesObject>(set: DaemonSet, informer: Informer<T>, cause: Cause): Promise<readonly T[]> {
    const { informers, executor } = this.#ports;
    const { uid = "", namespace = "" } = set.metadata;
    const candidates = [...informer.byIndex(BY_CONTROLLER, uid), ...informer.byIndex(BY_ORPHAN_NAMESPACE, namespace)];
    const claims = claim(set, labelSelectorOf(set.spec.selector), candidates);
    const claiming = { executor, owner: ownerOf(set), owners: informers.daemonSets, informer, cause };
    await release(claiming, claims.release);
    await adopt(claiming, claims.adopt);
    return [...claims.owned, ...claims.adopt];
  }

  /** Pods of a revision that says the same as the newest are of the newest: they need not be made again. */
  async #mergeDuplicates(
    duplicates: readonly ControllerRevision[],
    hash: string,
    pods: readonly Pod[],
    cause: Cause,
  ): Promise<void> {
    const { informers, executor } = this.#ports;
    const hashes = duplicates.map(({ metadata }) => metadata.labels?.[POD_REVISION_LABEL]);
    const theirs = pods.filter(({ metadata }) => hashes.includes(metadata.labels?.[POD_REVISION_LABEL] ?? ""));
    await inParallel(theirs, PARALLEL, async (pod) => {
      const { uid, resourceVersion } = pod.metadata;
      const body = { metadata: { uid, resourceVersion, labels: { [POD_REVISION_LABEL]: hash } } };
      await executor.patch(informers.pods, pod, body, cause);
    });
    await this.#forget(duplicates, cause);
  }

  async #forget(revisions: readonly ControllerRevision[], cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    for (const revision of revisions) await executor.delete(informers.controllerRevisions, revision, cause);
  }

  /** Carries out what it can; returns what failed. */
  async #execute(
    { set, hash, nowMs }: DaemonSetWorld,
    planned: DaemonSetPlan,
    cause: Cause,
  ): Promise<{ readonly error: unknown } | undefined> {
    for (const { pod, nodeName } of planned.failed) {
      this.#failures.failed(failureKey(set, nodeName), nowMs);
      const { namespace = "", name = "" } = pod.metadata;
      const message = `Found failed daemon pod ${namespace}/${name} on node ${nodeName}, will try to kill it`;
      this.#record(set, "Warning", "FailedDaemonPod", message, cause);
    }
    for (const { pod, nodeName } of planned.succeeded) {
      const { namespace = "", name = "" } = pod.metadata;
      const message = `Found succeeded daemon pod ${namespace}/${name} on node ${nodeName}, will try to delete it`;
      this.#record(set, "Normal", "SucceededDaemonPod", message, cause);
    }
    const [created, deleted] = await Promise.allSettled([
      slowStart(planned.create.slice(0, BURST), (nodeName) => this.#create(set, podFor(set, nodeName, hash), cause)),
      inParallel(planned.delete.slice(0, BURST), PARALLEL, (pod) => this.#delete(set, pod, cause)),
    ]);
    const failed = [created, deleted].find((result) => result.status === "rejected");
    return !failed || isNamespaceLeaving(failed.reason) ? undefined : { error: failed.reason };
  }

  async #create(set: DaemonSet, pod: Pod, cause: Cause): Promise<void> {
    const { informers, executor, random } = this.#ports;
    const name = `${pod.metadata.generateName ?? ""}${nameSuffix(random)}`;
    try {
      await executor.create(informers.pods, { ...pod, metadata: { ...pod.metadata, name } }, cause);
      this.#record(set, "Normal", "SuccessfulCreate", `Created pod: ${name}`, cause);
    } catch (error) {
      if (!isNamespaceLeaving(error))
        this.#record(set, "Warning", "FailedCreate", `Error creating: ${messageOf(error)}`, cause);
      throw error;
    }
  }

  async #delete(set: DaemonSet, pod: Pod, cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    const { name = "", resourceVersion = "" } = pod.metadata;
    try {
      // Only as it was judged: one that has become well meanwhile, or somebody else's, stays.
      await executor.delete(informers.pods, pod, cause, { resourceVersion });
      this.#record(set, "Normal", "SuccessfulDelete", `Deleted pod: ${name}`, cause);
    } catch (error) {
      if (!isStatus(error, "Conflict"))
        this.#record(set, "Warning", "FailedDelete", `Error deleting: ${messageOf(error)}`, cause);
      throw error;
    }
  }

  async #tellStatus(set: DaemonSet, status: DaemonSetStatus, cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    if (!sameCounts(status, set.status)) await executor.updateStatus(informers.daemonSets, { ...set, status }, cause);
  }

  #record(object: DaemonSet, type: "Normal" | "Warning", reason: string, message: string, { trace }: Cause): void {
    this.#events.record({ apiVersion: "apps/v1", kind: "DaemonSet", object }, type, reason, message, trace);
  }
}

/** A new generation starts with a clean slate. */
function failureKey({ metadata, status }: DaemonSet, nodeName: string): string {
  return `${metadata.uid ?? ""}/${status?.observedGeneration ?? 0}/${nodeName}`;
}

/** When a pod that is ready will have been so for long enough; Infinity when time alone changes nothing. */
function nextAvailabilityMs({ set, pods, nowMs }: DaemonSetWorld): number {
  const times = pods.map((pod) => podAvailableAtMs(pod, set.spec.minReadySeconds ?? 0) ?? 0);
  return Math.min(...times.filter((atMs) => atMs > nowMs));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
