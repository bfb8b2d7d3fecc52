/** The Deployment controller: hears of Deployments, their ReplicaSets and ended pods; reads, plans, executes, tells. */
import type { Deployment, DeploymentStatus, ReplicaSet } from "@pilothouse/api/types/apps-v1";
import { done, followChanges, OwnWrites, requeueAfter, retry } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { keyOf, splitKey } from "@pilothouse/informer";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";
import type { TraceContext } from "@pilothouse/telemetry";
import { WorkQueue } from "@pilothouse/workqueue";
import { adopt, release } from "../../claiming.ts";
import { startWorkers } from "../../start-workers.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { isNamespaceLeaving } from "../../core/namespace-leaving.ts";
import { controllerOf, isControlledBy } from "../../core/ownership.ts";
import { hasPodEnded } from "../../core/pods.ts";
import type { Cause } from "../../executor.ts";
import { BY_CONTROLLER, BY_NAMESPACE, BY_ORPHAN_NAMESPACE } from "../../informers.ts";
import { annotationNames, nameOf, replicasOf, templateText } from "./rules.ts";
import { plan, type DeploymentPlan, type ReplicaSetUpdate } from "./plan.ts";
import { conditionOf, deadlineMs, restingStatus, rolloutStatus, type RolloutNews } from "./plan-status.ts";

const WORKERS = 5;

export function startDeploymentController(ports: ControllerPorts): void {
  const { clock, telemetry } = ports;
  const queue = new WorkQueue({ name: "deployment", clock, tracer: telemetry.tracer });
  const controller = new DeploymentController(ports);
  follow(ports, queue);
  startWorkers(ports, { name: "deployment", queue, workers: WORKERS, controller });
}

function follow({ scope, informers }: ControllerPorts, queue: WorkQueue): void {
  followChanges(scope, informers.deployments, ({ object, trace }) => void queue.add(keyOf(object), trace));
  followChanges(scope, informers.replicaSets, (change) => {
    wake(change.object, change.trace);
    if (change.type === "updated" && controllerOf(change.previous)?.uid !== controllerOf(change.object)?.uid)
      wake(change.previous, change.trace);
  });
  // Recreate waits for the last old pod to end.
  followChanges(scope, informers.pods, ({ type, object, trace }) => {
    const owner = controllerOf(object);
    if (owner?.kind !== "ReplicaSet" || (type !== "deleted" && !hasPodEnded(object))) return;
    const replicaSet = informers.replicaSets.get(object.metadata.namespace ?? "", owner.name);
    if (replicaSet) wake(replicaSet, trace);
  });
  function wake(replicaSet: ReplicaSet, trace: TraceContext | undefined): void {
    const controller = controllerOf(replicaSet);
    const { namespace = "", labels } = replicaSet.metadata;
    if (controller?.kind === "Deployment") queue.add(`${namespace}/${controller.name}`, trace);
    else if (!controller)
      for (const deployment of informers.deployments.byIndex(BY_NAMESPACE, namespace))
        if (matchesLabels(labelSelectorOf(deployment.spec.selector), labels)) queue.add(keyOf(deployment), trace);
  }
}

class DeploymentController {
  readonly #ports: ControllerPorts;
  readonly ownWrites = new OwnWrites();
  readonly #events;

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
    this.#events = ports.events("deployment-controller");
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers, clock } = this.#ports;
    const { namespace, name } = splitKey(key);
    const deployment = informers.deployments.get(namespace, name);
    if (!deployment) {
      this.ownWrites.forget(key);
      return done;
    }
    const cause: Cause = { key, trace, signal, ownWrites: this.ownWrites };
    const candidates = [
      ...informers.replicaSets.byIndex(BY_CONTROLLER, deployment.metadata.uid ?? ""),
      ...informers.replicaSets.byIndex(BY_ORPHAN_NAMESPACE, namespace),
    ];
    const hasRunningPods = ({ metadata }: ReplicaSet): boolean =>
      informers.pods.byIndex(BY_CONTROLLER, metadata.uid ?? "").some((pod) => !hasPodEnded(pod));
    const planned = plan(deployment, candidates, hasRunningPods);
    const made = await this.#execute(deployment, planned, cause);
    const status = await this.#tellStatus(deployment, planned, made, cause);
    if (made?.news?.news === "collision") return retry("the ReplicaSet's name is taken");
    if (made?.error !== undefined) throw made.error;
    const giveUpMs = deadlineMs(deployment, status);
    return giveUpMs === undefined
      ? done
      : requeueAfter(Math.max(0, giveUpMs - clock.now()) + 1_000, "progress deadline");
  }

  async #execute(deployment: Deployment, planned: DeploymentPlan, cause: Cause): Promise<Made | undefined> {
    const { informers, executor } = this.#ports;
    const owner = { ...deployment, apiVersion: "apps/v1", kind: "Deployment" };
    const claiming = { executor, owner, owners: informers.deployments, informer: informers.replicaSets, cause };
    await release(claiming, planned.release);
    await adopt(claiming, planned.adopt);
    for (const update of planned.updates) {
      await executor.update(informers.replicaSets, update.after, cause);
      this.#recordResize(deployment, update, cause);
    }
    for (const replicaSet of planned.deletes) await executor.delete(informers.replicaSets, replicaSet, cause);
    if (planned.create) return this.#create(deployment, planned.create, cause);
    const { fresh } = planned.rollout;
    return fresh && planned.pace === "rolling out" ? { news: { news: "found", replicaSet: nameOf(fresh) } } : undefined;
  }

  async #create(deployment: Deployment, replicaSet: ReplicaSet, cause: Cause): Promise<Made> {
    const { informers, executor } = this.#ports;
    const { namespace = "", name = "" } = replicaSet.metadata;
    try {
      const created = await executor.create(informers.replicaSets, replicaSet, cause);
      if (replicasOf(created) > 0) {
        const message = `Scaled up replica set ${name} from 0 to ${replicasOf(created)}`;
        this.#record(deployment, "Normal", "ScalingReplicaSet", message, cause);
      }
      return { news: { news: "created", replicaSet: name }, created };
    } catch (error) {
      if (isNamespaceLeaving(error)) return { error };
      if (!isStatus(error, "AlreadyExists")) {
        const text = error instanceof Error ? error.message : String(error);
        const message = `Failed to create new replica set ${JSON.stringify(name)}: ${text}`;
        this.#record(deployment, "Warning", "ReplicaSetCreateError", message, cause);
        return { news: { news: "create failed", message }, error };
      }
      // Ours, not seen yet; or another template with the same hash.
      const existing = await executor.read(informers.replicaSets.type, namespace, name, cause);
      const isOurs =
        existing !== undefined &&
        isControlledBy(existing, deployment) &&
        templateText(existing.spec.template ?? {}) === templateText(deployment.spec.template);
      if (!isOurs) return { news: { news: "collision" } };
      this.ownWrites.wrote(cause.key, informers.replicaSets, existing);
      return { news: { news: "found", replicaSet: name }, created: existing };
    }
  }

  async #tellStatus(
    deployment: Deployment,
    { rollout, pace, revision }: DeploymentPlan,
    made: Made | undefined,
    cause: Cause,
  ): Promise<DeploymentStatus> {
    const { informers, executor, clock } = this.#ports;
    const now = made?.created ? { ...rollout, fresh: made.created } : rollout;
    const status = pace === "resting" ? restingStatus(now, clock.now()) : rolloutStatus(now, made?.news, clock.now());
    const { annotations } = deployment.metadata;
    const isNewRevision = revision !== undefined && annotations?.[annotationNames.revision] !== revision;
    if (!isNewRevision && sameStatus(status, deployment.status)) return status;
    const metadata = isNewRevision
      ? { ...deployment.metadata, annotations: { ...annotations, [annotationNames.revision]: revision } }
      : deployment.metadata;
    await executor.updateStatus(informers.deployments, { ...deployment, metadata, status }, cause);
    return status;
  }

  #recordResize(deployment: Deployment, { before, after }: ReplicaSetUpdate, cause: Cause): void {
    const [from, to] = [replicasOf(before), replicasOf(after)];
    if (from === to) return;
    const message = `Scaled ${to > from ? "up" : "down"} replica set ${nameOf(before)} from ${from} to ${to}`;
    this.#record(deployment, "Normal", "ScalingReplicaSet", message, cause);
  }

  #record(object: Deployment, type: "Normal" | "Warning", reason: string, message: string, { trace }: Cause): void {
    this.#events.record({ apiVersion: "apps/v1", kind: "Deployment", object }, type, reason, message, trace);
  }
}

interface Made {
  readonly news?: RolloutNews;
  readonly created?: ReplicaSet;
  readonly error?: unknown;
}

/** The same but for the order of conditions, which means nothing. */
function sameStatus(a: DeploymentStatus, b: DeploymentStatus | undefined): boolean {
  const conditions = (status: DeploymentStatus) =>
    (status.conditions ?? []).map(({ type }) => conditionOf(status, type));
  const sorted = (status: DeploymentStatus) => ({
    ...status,
    conditions: conditions(status).sort((x, y) => ((x?.type ?? "") < (y?.type ?? "") ? -1 : 1)),
  });
  return b !== undefined && sameValue(sorted(a), sorted(b));
}
