/** The controllers of ReplicaSets and of ReplicationControllers: hear of them and of pods, read, plan, execute, tell. */
import type { ReplicaSet, ReplicaSetStatus } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { done, followChanges, inParallel, OwnWrites, requeueAfter, slowStart } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { keyOf, splitKey } from "@pilothouse/informer";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";
import type { TraceContext } from "@pilothouse/telemetry";
import { WorkQueue } from "@pilothouse/workqueue";
import { adopt, release } from "../../claiming.ts";
import { startWorkers } from "../../start-workers.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { isStatus } from "@pilothouse/errors";
import { isNamespaceLeaving } from "../../core/namespace-leaving.ts";
import { nameSuffix } from "../../core/names.ts";
import { controllerOf } from "../../core/ownership.ts";
import { isPodActive } from "../../core/pods.ts";
import { sameCounts } from "../../core/values.ts";
import type { Cause } from "../../executor.ts";
import { BY_CONTROLLER, BY_NAMESPACE, BY_ORPHAN_NAMESPACE } from "../../informers.ts";
import { replicaSets, replicationControllers, type Family, type WithStatus } from "./families.ts";
import { nextAvailabilityMs, plan, statusOf, type CreateFailure, type ReplicaSetAction } from "./plan.ts";

const WORKERS = 5;
const PARALLEL_DELETES = 16;

export function startReplicaSetController(ports: ControllerPorts): void {
  start(ports, replicaSets(ports.informers));
}

export function startReplicationController(ports: ControllerPorts): void {
  start(ports, replicationControllers(ports.informers));
}

function start<T extends WithStatus>(ports: ControllerPorts, family: Family<T>): void {
  const { clock, telemetry } = ports;
  const { name } = family;
  const queue = new WorkQueue({ name, clock, tracer: telemetry.tracer });
  const controller = new ReplicasController(ports, family);
  followOwnersAndPods(ports, family, queue);
  startWorkers(ports, { name, queue, workers: WORKERS, controller });
}

function followOwnersAndPods<T extends WithStatus>(
  { scope, informers }: ControllerPorts,
  { kind, informer, asReplicaSet }: Family<T>,
  queue: WorkQueue,
): void {
  followChanges(scope, informer, ({ object, trace }) => void queue.add(keyOf(object), trace));
  followChanges(scope, informers.pods, (change) => {
    wake(change.object, change.trace);
    if (change.type === "updated" && controllerOf(change.previous)?.uid !== controllerOf(change.object)?.uid)
      wake(change.previous, change.trace);
  });
  function wake(pod: Pod, trace: TraceContext | undefined): void {
    const controller = controllerOf(pod);
    const { namespace = "" } = pod.metadata;
    if (controller?.kind === kind) queue.add(`${namespace}/${controller.name}`, trace);
    else if (!controller)
      for (const owner of informer.byIndex(BY_NAMESPACE, namespace))
        if (matchesLabels(labelSelectorOf(asReplicaSet(owner).spec.selector), pod.metadata.labels))
          queue.add(keyOf(owner), trace);
  }
}

class ReplicasController<T extends WithStatus> {
  readonly #ports: ControllerPorts;
  readonly #family: Family<T>;
  readonly ownWrites = new OwnWrites();
  readonly #events;

  constructor(ports: ControllerPorts, family: Family<T>) {
    this.#ports = ports;
    this.#family = family;
    this.#events = ports.events(family.component);
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers, clock } = this.#ports;
    const { namespace, name } = splitKey(key);
    const owner = this.#family.informer.get(namespace, name);
    if (!owner) {
      this.ownWrites.forget(key);
      return done;
    }
    const replicaSet = this.#family.asReplicaSet(owner);
    const cause: Cause = { key, trace, signal, ownWrites: this.ownWrites };
    const pods = [
      ...informers.pods.byIndex(BY_CONTROLLER, replicaSet.metadata.uid ?? ""),
      ...informers.pods.byIndex(BY_ORPHAN_NAMESPACE, namespace),
    ];
    const planned = plan(replicaSet, pods, this.#siblings(replicaSet), clock.now());
    const failed = await this.#execute(replicaSet, planned.actions, cause);
    await this.#tellStatus(owner, statusOf(replicaSet, planned, failed?.failure, clock.now()), cause);
    if (failed) throw failed.error;
    const wakeAtMs = nextAvailabilityMs(replicaSet, planned.active, clock.now());
    return wakeAtMs === undefined ? done : requeueAfter(wakeAtMs - clock.now(), "pods become available");
  }

  /** Active pods of all ReplicaSets of the same Deployment. */
  #siblings(replicaSet: ReplicaSet): readonly Pod[] {
    const { informers } = this.#ports;
    const owner = controllerOf(replicaSet);
    const siblings = owner ? this.#family.informer.byIndex(BY_CONTROLLER, owner.uid) : [replicaSet];
    return siblings
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
    const { apiVersion, kind, informer: owners } = this.#family;
    const owner = { ...replicaSet, apiVersion, kind };
    const claiming = { executor, owner, owners, informer: informers.pods, cause };
    await release(claiming, of("release"));
    await adopt(claiming, of("adopt"));
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
    const found = this.#family.informer.get(namespace, name);
    const now = found && this.#family.asReplicaSet(found);
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

  async #tellStatus(owner: T, status: ReplicaSetStatus, cause: Cause): Promise<void> {
    const told = this.#family.withStatus(owner, status);
    if (!sameCounts(told.status, owner.status)) {
      await this.#ports.executor.updateStatus(this.#family.informer, told, cause);
    }
  }

  #record(object: ReplicaSet, type: "Normal" | "Warning", reason: string, message: string, { trace }: Cause): void {
    const { apiVersion, kind } = this.#family;
    this.#events.record({ apiVersion, kind, object }, type, reason, message, trace);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
