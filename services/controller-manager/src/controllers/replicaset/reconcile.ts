/** The ReplicaSet controller: hears of ReplicaSets and pods, reads, plans, executes, tells. */
import type { ReplicaSet } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { done, followChanges, inParallel, OwnWrites, requeueAfter, slowStart } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { keyOf, splitKey } from "@pilothouse/informer";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";
import type { TraceContext } from "@pilothouse/telemetry";
import { WorkQueue } from "@pilothouse/workqueue";
import { startWorkers } from "../../start-workers.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { isStatus } from "@pilothouse/errors";
import { isNamespaceLeaving } from "../../core/namespace-leaving.ts";
import { nameSuffix } from "../../core/names.ts";
import { controllerOf, controllerReference, isControlledBy } from "../../core/ownership.ts";
import { isPodActive } from "../../core/pods.ts";
import type { Cause } from "../../executor.ts";
import { BY_CONTROLLER, BY_NAMESPACE, BY_ORPHAN_NAMESPACE } from "../../informers.ts";
import { nextAvailabilityMs, plan, statusOf, type CreateFailure, type ReplicaSetAction } from "./plan.ts";

const WORKERS = 5;
const PARALLEL_DELETES = 16;

export function startReplicaSetController(ports: ControllerPorts): void {
  const { clock, telemetry } = ports;
  const queue = new WorkQueue({ name: "replicaset", clock, tracer: telemetry.tracer });
  const controller = new ReplicaSetController(ports);
  followReplicaSetsAndPods(ports, queue);
  startWorkers(ports, { name: "replicaset", queue, workers: WORKERS, controller });
}

function followReplicaSetsAndPods({ scope, informers }: ControllerPorts, queue: WorkQueue): void {
  followChanges(scope, informers.replicaSets, ({ object, trace }) => void queue.add(keyOf(object), trace));
  followChanges(scope, informers.pods, (change) => {
    wake(change.object, change.trace);
    if (change.type === "updated" && controllerOf(change.previous)?.uid !== controllerOf(change.object)?.uid)
      wake(change.previous, change.trace);
  });
  function wake(pod: Pod, trace: TraceContext | undefined): void {
    const controller = controllerOf(pod);
    const { namespace = "" } = pod.metadata;
    if (controller?.kind === "ReplicaSet") queue.add(`${namespace}/${controller.name}`, trace);
    else if (!controller)
      for (const replicaSet of informers.replicaSets.byIndex(BY_NAMESPACE, namespace))
        if (matchesLabels(labelSelectorOf(replicaSet.spec.selector), pod.metadata.labels))
          queue.add(keyOf(replicaSet), trace);
  }
}

class ReplicaSetController {
  readonly #ports: ControllerPorts;
  readonly ownWrites = new OwnWrites();
  readonly #events;

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
    this.#events = ports.events("replicaset-controller");
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers, clock } = this.#ports;
    const { namespace, name } = splitKey(key);
    const replicaSet = informers.replicaSets.get(namespace, name);
    if (!replicaSet) {
      this.ownWrites.forget(key);
      return done;
    }
    const cause: Cause = { key, trace, signal, ownWrites: this.ownWrites };
    const pods = [
      ...informers.pods.byIndex(BY_CONTROLLER, replicaSet.metadata.uid ?? ""),
      ...informers.pods.byIndex(BY_ORPHAN_NAMESPACE, namespace),
    ];
    const planned = plan(replicaSet, pods, this.#siblings(replicaSet), clock.now());
    const failed = await this.#execute(replicaSet, planned.actions, cause);
    await this.#tellStatus(replicaSet, planned, failed?.failure, cause);
    if (failed) throw failed.error;
    const wakeAtMs = nextAvailabilityMs(replicaSet, planned.active, clock.now());
    return wakeAtMs === undefined ? done : requeueAfter(wakeAtMs - clock.now(), "pods become available");
  }

  /** Active pods of all ReplicaSets of the same Deployment. */
  #siblings(replicaSet: ReplicaSet): readonly Pod[] {
    const { informers } = this.#ports;
    const owner = controllerOf(replicaSet);
    const family = owner ? informers.replicaSets.byIndex(BY_CONTROLLER, owner.uid) : [replicaSet];
    return family
      .flatMap(({ metadata }) => informers.pods.byIndex(BY_CONTROLLER, metadata.uid ?? ""))
      .filter(isPodActive);
  }

  /** Carries out what it can; returns what failed to be created or deleted. */
  async #execute(
    replicaSet: ReplicaSet,
    actions: readonly ReplicaSetAction[],
    cause: Cause,
  ): Promise<{ readonly failure: CreateFailure; readonly error: unknown } | undefined> {
    const { informers, executor } = this.#ports;
    const of = (verb: ReplicaSetAction["do"]): Pod[] =>
      actions.filter((action) => action.do === verb).map(({ pod }) => pod);
    await inParallel(of("release"), PARALLEL_DELETES, (pod) => this.#release(replicaSet, pod, cause));
    if (of("adopt").length > 0) await this.#adopt(replicaSet, of("adopt"), cause);
    try {
      await slowStart(
        of("create"),
        (pod) => this.#create(replicaSet, pod, cause),
        () => this.#asksForAsMany(replicaSet),
      );
    } catch (error) {
      return isNamespaceLeaving(error)
        ? undefined
        : { failure: { reason: "FailedCreate", message: messageOf(error) }, error };
    }
    try {
      await inParallel(of("delete"), PARALLEL_DELETES, async (pod) => {
        // Only as it was judged: a pod that somebody took away meanwhile is not ours to delete.
        const { resourceVersion = "" } = pod.metadata;
        await executor.delete(informers.pods, pod, cause, { resourceVersion });
        this.#record(replicaSet, "Normal", "SuccessfulDelete", `Deleted pod: ${pod.metadata.name ?? ""}`, cause);
      });
    } catch (error) {
      if (isStatus(error, "Conflict")) throw error;
      this.#record(replicaSet, "Warning", "FailedDelete", `Error deleting: ${messageOf(error)}`, cause);
      return { failure: { reason: "FailedDelete", message: messageOf(error) }, error };
    }
    return undefined;
  }

  /** False when news have come meanwhile that it asks for another number, or goes: that is decided about anew. */
  #asksForAsMany({ metadata: { namespace = "", name = "", uid }, spec }: ReplicaSet): boolean {
    const now = this.#ports.informers.replicaSets.get(namespace, name);
    return (
      now?.metadata.uid === uid && now?.metadata.deletionTimestamp === undefined && now?.spec.replicas === spec.replicas
    );
  }

  async #create(replicaSet: ReplicaSet, template: Pod, cause: Cause): Promise<void> {
    const { informers, executor, random } = this.#ports;
    const name = `${template.metadata.generateName ?? ""}${nameSuffix(random)}`;
    try {
      await executor.create(informers.pods, { ...template, metadata: { ...template.metadata, name } }, cause);
      this.#record(replicaSet, "Normal", "SuccessfulCreate", `Created pod: ${name}`, cause);
    } catch (error) {
      if (!isNamespaceLeaving(error))
        this.#record(replicaSet, "Warning", "FailedCreate", `Error creating: ${messageOf(error)}`, cause);
      throw error;
    }
  }

  /** Only a ReplicaSet that is surely there and staying takes pods over: asked of the API, not of a cache (C13). */
  async #adopt(replicaSet: ReplicaSet, pods: readonly Pod[], cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    const { namespace = "", name = "", uid } = replicaSet.metadata;
    const fresh = await executor.read(informers.replicaSets.type, namespace, name, cause);
    if (fresh?.metadata.uid !== uid || fresh?.metadata.deletionTimestamp !== undefined) return;
    const reference = controllerReference({ ...replicaSet, apiVersion: "apps/v1", kind: "ReplicaSet" });
    await inParallel(pods, PARALLEL_DELETES, async ({ ...pod }) => {
      const { uid, resourceVersion, ownerReferences = [] } = pod.metadata;
      const body = { metadata: { uid, resourceVersion, ownerReferences: [...ownerReferences, reference] } };
      await executor.patch(informers.pods, pod, body, cause);
    });
  }

  async #release(replicaSet: ReplicaSet, pod: Pod, cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    const { uid, resourceVersion, ownerReferences = [] } = pod.metadata;
    const others = ownerReferences.filter((reference) => reference.uid !== replicaSet.metadata.uid);
    const body = { metadata: { uid, resourceVersion, ownerReferences: others.length > 0 ? others : null } };
    if (isControlledBy(pod, replicaSet)) await executor.patch(informers.pods, pod, body, cause);
  }

  async #tellStatus(
    replicaSet: ReplicaSet,
    planned: ReturnType<typeof plan>,
    failure: CreateFailure | undefined,
    cause: Cause,
  ): Promise<void> {
    const { informers, executor, clock } = this.#ports;
    const status = statusOf(replicaSet, planned, failure, clock.now());
    if (sameValue(status, replicaSet.status)) return;
    await executor.updateStatus(informers.replicaSets, { ...replicaSet, status }, cause);
  }

  #record(object: ReplicaSet, type: "Normal" | "Warning", reason: string, message: string, { trace }: Cause): void {
    this.#events.record({ apiVersion: "apps/v1", kind: "ReplicaSet", object }, type, reason, message, trace);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
