/**
 * The disruption controller: says of each PodDisruptionBudget how many of its pods may be evicted now, and takes back what says that
 * a pod is about to go where nothing came of it (stale-targets.ts).
 *
 * Promises: no pod counts as healthy whose eviction was let through. Each eviction changes its budget in the transaction that marks
 * the pod, and what is said here rests on pods that are at least as new as the budget and is written onto that very budget only.
 * Does not promise: pods of owners without a scale, whose budget allows nothing if it is a share of them.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import type { PodDisruptionBudget } from "@pilothouse/api/types/policy-v1";
import { done, followChanges, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { EventRecorder, Outcome, ReconcileContext } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { keyOf, revisionOf, splitKey } from "@pilothouse/informer";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { isGuardedBy, withSyncFailure } from "@pilothouse/kinds/policy/disruptions";
import { formatLabelSelector } from "@pilothouse/selectors";
import type { TraceContext } from "@pilothouse/telemetry";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { timestampOf } from "../../core/values.ts";
import type { Cause } from "../../executor.ts";
import { BY_NAMESPACE } from "../../informers.ts";
import { startWorkers } from "../../start-workers.ts";
import { needsScale, plan, type DisruptionPlan } from "./plan.ts";
import { ownersScale } from "./scale.ts";
import { startStaleTargets } from "./stale-targets.ts";

const NAME = "disruption";
const WORKERS = 2;
const KIND = { apiVersion: "policy/v1", kind: "PodDisruptionBudget" } as const;

export function startDisruptionController(ports: ControllerPorts): void {
  const { clock, telemetry } = ports;
  const queue = new WorkQueue({ name: NAME, clock, tracer: telemetry.tracer });
  const controller = new DisruptionController(ports);
  followBudgetsAndPods(ports, queue);
  startWorkers(ports, { name: NAME, queue, workers: WORKERS, controller });
  startStaleTargets(ports);
}

function followBudgetsAndPods({ scope, informers }: ControllerPorts, queue: WorkQueue): void {
  const wake = (pod: Pod, trace: TraceContext | undefined): void => {
    for (const budget of informers.podDisruptionBudgets.byIndex(BY_NAMESPACE, pod.metadata.namespace ?? ""))
      if (isGuardedBy(pod, budget)) queue.add(keyOf(budget), trace);
  };
  followChanges(scope, informers.podDisruptionBudgets, ({ object, trace }) => void queue.add(keyOf(object), trace));
  followChanges(scope, informers.pods, (change) => {
    wake(change.object, change.trace);
    if (change.type === "updated" && !sameValue(change.previous.metadata.labels, change.object.metadata.labels))
      wake(change.previous, change.trace);
  });
}

class DisruptionController {
  readonly #ports: ControllerPorts;
  readonly #events: EventRecorder;
  readonly ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
    this.#events = ports.events("controllermanager");
  }

  async reconcile(key: string, context: ReconcileContext): Promise<Outcome> {
    const { informers, clock } = this.#ports;
    const { namespace, name } = splitKey(key);
    const budget = informers.podDisruptionBudgets.get(namespace, name);
    if (!budget || budget.metadata.deletionTimestamp !== undefined) {
      this.ownWrites.forget(key);
      return done;
    }
    const cause: Cause = { key, trace: context.trace, signal: context.signal, ownWrites: this.ownWrites };
    let planned: DisruptionPlan;
    try {
      planned = await this.#plan(budget, context);
    } catch (error) {
      if (!isStatus(error, "LeadershipLost") && !context.signal.aborted) await this.#failSafe(budget, error, cause);
      throw error;
    }
    for (const pod of planned.notDeleted) this.#tellNotDeleted(budget, pod, cause);
    await this.#tell(budget, planned.status, cause);
    const { recheckAtMs } = planned;
    return recheckAtMs === undefined
      ? done
      : requeueAfter(recheckAtMs - clock.now() + 1, "an evicted pod should have gone by then");
  }

  async #plan(budget: PodDisruptionBudget, context: ReconcileContext): Promise<DisruptionPlan> {
    const { informers, clock } = this.#ports;
    await informers.pods.waitForRevision(revisionOf(budget), context.signal);
    const { namespace = "" } = budget.metadata;
    const pods = informers.pods.byIndex(BY_NAMESPACE, namespace).filter((pod) => isGuardedBy(pod, budget));
    if (pods.length === 0) this.#record(budget, "Normal", "NoPods", "No matching pods found", context);
    if (!needsScale(budget)) return plan(budget, pods, 0, clock.now());
    const { scale, unmanaged } = await this.#scale(budget, pods, context);
    if (unmanaged.length > 0) this.#record(budget, "Warning", "UnmanagedPods", unmanagedText(budget), context);
    return plan(budget, pods, scale, clock.now());
  }

  async #scale(budget: PodDisruptionBudget, pods: readonly Pod[], context: ReconcileContext) {
    try {
      return await ownersScale(this.#ports, pods, context);
    } catch (error) {
      const why = `Failed to calculate the number of expected pods: ${messageOf(error)}`;
      this.#record(budget, "Warning", "CalculateExpectedPodCountFailed", why, context);
      throw error;
    }
  }

  /** Who cannot count lets nothing through. */
  async #failSafe(budget: PodDisruptionBudget, error: unknown, cause: Cause): Promise<void> {
    const { generation = 0 } = budget.metadata;
    const known = budget.status ?? { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 };
    const now = timestampOf(this.#ports.clock.now());
    await this.#tell(budget, withSyncFailure(known, generation, now, messageOf(error)), cause);
  }

  async #tell(budget: PodDisruptionBudget, status: PodDisruptionBudget["status"], cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    if (!status || sameValue(status, budget.status)) return;
    await executor.updateStatus(informers.podDisruptionBudgets, { ...budget, status }, cause);
  }

  #tellNotDeleted({ metadata }: PodDisruptionBudget, pod: Pod, { trace }: Cause): void {
    const { name = "", namespace = "" } = metadata;
    const message = `Pod was expected by PDB ${namespace}/${name} to be deleted but it wasn't`;
    this.#events.record({ apiVersion: "v1", kind: "Pod", object: pod }, "Warning", "NotDeleted", message, trace);
  }

  #record(
    object: PodDisruptionBudget,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
    { trace }: ReconcileContext,
  ): void {
    this.#events.record({ ...KIND, object }, type, reason, message, trace);
  }
}

function unmanagedText({ spec }: PodDisruptionBudget): string {
  return (
    `Pods selected by this PodDisruptionBudget (selector: ${formatLabelSelector(spec.selector)}) were found ` +
    "to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. " +
    'To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
