/**
 * The Job controller: hears of Jobs and pods, reads, plans, executes, tells, and lets pods go that it has counted.
 *
 * Each step rests on what the step before has stored, and is found again by whoever comes after a crash.
 */
import type { Job } from "@pilothouse/api/types/batch-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { done, followChanges, inParallel, OwnWrites, requeueAfter, slowStart } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { keyOf, splitKey } from "@pilothouse/informer";
import { isJobFinished } from "@pilothouse/kinds/batch/job-status";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";
import type { TraceContext } from "@pilothouse/telemetry";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { nameSuffix } from "../../core/names.ts";
import { isNamespaceLeaving } from "../../core/namespace-leaving.ts";
import { claim, controllerOf } from "../../core/ownership.ts";
import type { Cause } from "../../executor.ts";
import { BY_CONTROLLER, BY_NAMESPACE, BY_ORPHAN_NAMESPACE } from "../../informers.ts";
import { startWorkers } from "../../start-workers.ts";
import type { BackoffRecord } from "./rules-backoff.ts";
import { jobReference } from "./plan-new-pods.ts";
import { observe } from "./plan-observe.ts";
import { finalizersWithout, letGo, orNull } from "./let-go.ts";
import { OrphanController } from "./orphans.ts";
import { planPods, type PodsPlan } from "./plan.ts";
import { planStatus, type JobEvent, type PodsOutcome } from "./plan-status.ts";
import { verdictOf } from "./rules.ts";
import { isManagedElsewhere, isTracked, TRACKING_FINALIZER } from "./rules-tracking.ts";

const WORKERS = 5;
const IN_PARALLEL = 16;

export function startJobController(ports: ControllerPorts): void {
  const { clock, telemetry } = ports;
  const queue = new WorkQueue({ name: "job", clock, tracer: telemetry.tracer });
  const orphans = new WorkQueue({ name: "job-orphan-pod", clock, tracer: telemetry.tracer });
  followJobsAndPods(ports, queue, orphans);
  startWorkers(ports, { name: "job", queue, workers: WORKERS, controller: new JobController(ports) });
  startWorkers(ports, { name: "job-orphan-pod", queue: orphans, workers: 1, controller: new OrphanController(ports) });
}

function followJobsAndPods({ scope, informers }: ControllerPorts, queue: WorkQueue, orphans: WorkQueue): void {
  followChanges(scope, informers.jobs, ({ type, object, trace }) => {
    queue.add(keyOf(object), trace);
    if (type !== "deleted" && !isJobFinished(object)) return;
    for (const pod of informers.pods.byIndex(BY_CONTROLLER, object.metadata.uid ?? ""))
      if (isTracked(pod)) orphans.add(keyOf(pod), trace);
  });
  followChanges(scope, informers.pods, (change) => {
    wake(change.object, change.trace);
    if (change.type === "updated" && controllerOf(change.previous)?.uid !== controllerOf(change.object)?.uid)
      wake(change.previous, change.trace);
  });
  function wake(pod: Pod, trace: TraceContext | undefined): void {
    const { namespace = "", labels } = pod.metadata;
    const controller = controllerOf(pod);
    if (controller && controller.kind !== "Job") return;
    const job = controller && informers.jobs.get(namespace, controller.name);
    if (job && job.metadata.uid === controller.uid && !isJobFinished(job)) return void queue.add(keyOf(job), trace);
    if (isTracked(pod)) orphans.add(keyOf(pod), trace);
    if (controller) return;
    for (const job of informers.jobs.byIndex(BY_NAMESPACE, namespace))
      if (job.spec.selector && matchesLabels(labelSelectorOf(job.spec.selector), labels)) queue.add(keyOf(job), trace);
  }
}

class JobController {
  readonly #ports: ControllerPorts;
  readonly ownWrites = new OwnWrites();
  /** By the Job's uid. */
  readonly #backoffs = new Map<string, BackoffRecord>();
  /** The uid that a key had. */
  readonly #uids = new Map<string, string>();
  readonly #events;

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
    this.#events = ports.events("job-controller");
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers, clock } = this.#ports;
    const { namespace, name } = splitKey(key);
    const job = informers.jobs.get(namespace, name);
    const { uid = "" } = job?.metadata ?? {};
    if (this.#uids.get(key) !== uid || (job && isJobFinished(job))) this.#forget(key);
    if (!job || isManagedElsewhere(job) || isJobFinished(job)) {
      if (!job) this.ownWrites.forget(key);
      return done;
    }
    const cause: Cause = { key, trace, signal, ownWrites: this.ownWrites };
    const candidates = [
      ...informers.pods.byIndex(BY_CONTROLLER, uid),
      ...informers.pods.byIndex(BY_ORPHAN_NAMESPACE, namespace),
    ];
    const { owned, adopt, release } = claim(job, labelSelectorOf(job.spec.selector), candidates);
    if (adopt.length + release.length > 0) {
      // Once they are seen to be its own, or not, it is woken again.
      await inParallel(release, IN_PARALLEL, (pod) => this.#release(job, pod, cause));
      if (adopt.length > 0) await this.#adopt(job, adopt, cause);
      return done;
    }
    const observed = observe(job, owned, this.#backoffs.get(uid), clock.now());
    const verdict = verdictOf(observed);
    const planned = planPods(observed, verdict);
    const { outcome, error } = await this.#execute(job, planned, cause);
    const { status, untrack, events } = planStatus(observed, verdict, outcome);
    if (!sameValue(status, job.status))
      await this.#ports.executor.updateStatus(informers.jobs, { ...job, status }, cause);
    this.#backoffs.set(uid, observed.backoff);
    this.#uids.set(key, uid);
    for (const event of events) this.#record(job, event, cause);
    await inParallel(untrack, IN_PARALLEL, async (pod) => void (await letGo(this.#ports, pod, cause)));
    if (error !== undefined) throw error;
    const { wakeAtMs } = planned;
    return wakeAtMs === undefined ? done : requeueAfter(Math.max(0, wakeAtMs - clock.now()), "back-off or deadline");
  }

  #forget(key: string): void {
    this.#backoffs.delete(this.#uids.get(key) ?? "");
    this.#uids.delete(key);
  }

  /** Carries out what it can, and tells how much that was. */
  async #execute(
    job: Job,
    { create, end, discard }: PodsPlan,
    cause: Cause,
  ): Promise<{ readonly outcome: PodsOutcome; readonly error?: unknown }> {
    let created = 0;
    const deleted: Pod[] = [];
    try {
      await inParallel(end, IN_PARALLEL, async (pod) => {
        await this.#delete(job, pod, cause);
        deleted.push(pod);
      });
      await inParallel(discard, IN_PARALLEL, async (pod) => {
        const untracked = isTracked(pod) ? await letGo(this.#ports, pod, cause) : pod;
        if (untracked) await this.#delete(job, untracked, cause);
        deleted.push(pod);
      });
      await slowStart(
        create,
        async (pod) => {
          await this.#create(job, pod, cause);
          created++;
        },
        () => this.#isAsDecided(job),
      );
    } catch (error) {
      return isNamespaceLeaving(error) ? { outcome: { created, deleted } } : { outcome: { created, deleted }, error };
    }
    return { outcome: { created, deleted } };
  }

  /** False when news have come meanwhile that it asks for something else, or goes: that is decided about anew. */
  #isAsDecided({ metadata: { namespace = "", name = "", uid, generation } }: Job): boolean {
    const now = this.#ports.informers.jobs.get(namespace, name)?.metadata;
    return now?.uid === uid && now?.generation === generation;
  }

  async #create(job: Job, pod: Pod, cause: Cause): Promise<void> {
    const { informers, executor, random } = this.#ports;
    const name = `${pod.metadata.generateName ?? ""}${nameSuffix(random)}`;
    try {
      await executor.create(informers.pods, { ...pod, metadata: { ...pod.metadata, name } }, cause);
      this.#record(job, { type: "Normal", reason: "SuccessfulCreate", message: `Created pod: ${name}` }, cause);
    } catch (error) {
      const message = `Error creating: ${messageOf(error)}`;
      if (!isNamespaceLeaving(error)) this.#record(job, { type: "Warning", reason: "FailedCreate", message }, cause);
      throw error;
    }
  }

  /** Only as it was judged: a pod that has ended meanwhile is counted, not deleted. */
  async #delete(job: Job, pod: Pod, cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    const { resourceVersion = "", name = "" } = pod.metadata;
    try {
      await executor.delete(informers.pods, pod, cause, { resourceVersion });
      this.#record(job, { type: "Normal", reason: "SuccessfulDelete", message: `Deleted pod: ${name}` }, cause);
    } catch (error) {
      const message = `Error deleting: ${messageOf(error)}`;
      if (!isStatus(error, "Conflict")) this.#record(job, { type: "Warning", reason: "FailedDelete", message }, cause);
      throw error;
    }
  }

  /** Only a Job that is surely there and staying takes pods over: asked of the API, not of a cache (C13). */
  async #adopt(job: Job, pods: readonly Pod[], cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    const { namespace = "", name = "", uid } = job.metadata;
    const fresh = await executor.read(informers.jobs.type, namespace, name, cause);
    if (fresh?.metadata.uid !== uid || fresh?.metadata.deletionTimestamp !== undefined) return;
    await inParallel(pods, IN_PARALLEL, async (pod) => {
      const { uid, resourceVersion, ownerReferences = [], finalizers = [] } = pod.metadata;
      const metadata = {
        uid,
        resourceVersion,
        ownerReferences: [...ownerReferences, jobReference(job)],
        finalizers: isTracked(pod) ? finalizers : [...finalizers, TRACKING_FINALIZER],
      };
      await executor.patch(informers.pods, pod, { metadata }, cause);
    });
  }

  async #release(job: Job, pod: Pod, cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    const { uid, resourceVersion, ownerReferences = [] } = pod.metadata;
    const owners = ownerReferences.filter((reference) => reference.uid !== job.metadata.uid);
    const metadata = { uid, resourceVersion, ownerReferences: orNull(owners), finalizers: finalizersWithout(pod) };
    await executor.patch(informers.pods, pod, { metadata }, cause);
  }

  #record(job: Job, { type, reason, message }: JobEvent, { trace }: Cause): void {
    this.#events.record({ apiVersion: "batch/v1", kind: "Job", object: job }, type, reason, message, trace);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
