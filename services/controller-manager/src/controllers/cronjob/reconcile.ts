/** The CronJob controller: hears of CronJobs and their Jobs, reads, plans, executes, tells, and wakes itself when the next time comes. */
import type { CronJob, CronJobStatus, Job } from "@pilothouse/api/types/batch-v1";
import type { ObjectReference } from "@pilothouse/api/types/core-v1";
import { done, followChanges, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { keyOf, splitKey } from "@pilothouse/informer";
import { sameValue } from "@pilothouse/kinds/field-errors";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { isNamespaceLeaving } from "../../core/namespace-leaving.ts";
import { controllerOf, isControlledBy } from "../../core/ownership.ts";
import type { Cause } from "../../executor.ts";
import { BY_CONTROLLER } from "../../informers.ts";
import { startWorkers } from "../../start-workers.ts";
import { decide, settle, surplusJobs, withStarted, type CronEvent, type Decision } from "./plan.ts";

const WORKERS = 5;

export function startCronJobController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const queue = new WorkQueue({ name: "cronjob", clock, tracer: telemetry.tracer });
  followChanges(scope, informers.cronJobs, ({ object, trace }) => void queue.add(keyOf(object), trace));
  followChanges(scope, informers.jobs, ({ object, trace }) => {
    const controller = controllerOf(object);
    if (controller?.kind === "CronJob") queue.add(`${object.metadata.namespace ?? ""}/${controller.name}`, trace);
  });
  startWorkers(ports, { name: "cronjob", queue, workers: WORKERS, controller: new CronJobController(ports) });
}

class CronJobController {
  readonly #ports: ControllerPorts;
  readonly ownWrites = new OwnWrites();
  readonly #events;

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
    this.#events = ports.events("cronjob-controller");
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers, clock, executor } = this.#ports;
    const { namespace, name } = splitKey(key);
    const cronJob = informers.cronJobs.get(namespace, name);
    if (!cronJob) {
      this.ownWrites.forget(key);
      return done;
    }
    const cause: Cause = { key, trace, signal, ownWrites: this.ownWrites };
    const jobs = informers.jobs.byIndex(BY_CONTROLLER, cronJob.metadata.uid ?? "");
    const gone = await this.#goneJobs(cronJob, jobs, cause);
    const settled = settle(cronJob, jobs, ({ uid }) => gone.has(uid ?? ""));
    const decision = decide({ ...cronJob, status: settled.status }, clock.now());
    for (const event of [...settled.events, ...decision.events]) this.#record(cronJob, event, cause);
    const status = await this.#start(cronJob, settled.status, decision, cause);
    if (cronJob.metadata.deletionTimestamp === undefined)
      for (const job of surplusJobs(cronJob, jobs)) await this.#delete(cronJob, job, cause);
    if (!sameValue(status, cronJob.status ?? {}))
      await executor.updateStatus(informers.cronJobs, { ...cronJob, status }, cause);
    const { wakeAtMs } = decision;
    return wakeAtMs === undefined ? done : requeueAfter(Math.max(0, wakeAtMs - clock.now()), "the next time comes");
  }

  /** Uids of active Jobs that are no more. Asked of the API, not of a cache (C13). */
  async #goneJobs({ status }: CronJob, jobs: readonly Job[], cause: Cause): Promise<ReadonlySet<string>> {
    const { informers, executor } = this.#ports;
    const gone = new Set<string>();
    for (const { uid = "", namespace = "", name = "" } of status?.active ?? []) {
      if (jobs.some(({ metadata }) => metadata.uid === uid)) continue;
      const job = await executor.read(informers.jobs.type, namespace, name, cause);
      if (job?.metadata.uid !== uid) gone.add(uid);
    }
    return gone;
  }

  /** The status as it is after what was decided has been done. */
  async #start(cronJob: CronJob, status: CronJobStatus, decision: Decision, cause: Cause): Promise<CronJobStatus> {
    if (decision.do === "wait") return status;
    const { replaced, job, atMs } = decision;
    for (const reference of replaced) await this.#replace(cronJob, reference, cause);
    const started = await this.#create(cronJob, job, cause);
    return started ? withStarted(status, started, atMs, replaced) : status;
  }

  async #replace(cronJob: CronJob, { namespace = "", name = "", uid }: ObjectReference, cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    const job = await executor.read(informers.jobs.type, namespace, name, cause);
    if (job?.metadata.uid === uid && job) await this.#delete(cronJob, job, cause);
  }

  /** The Job of that time, whoever made it; undefined when that is not for us to say. */
  async #create(cronJob: CronJob, job: Job, cause: Cause): Promise<Job | undefined> {
    const { informers, executor } = this.#ports;
    const { namespace = "", name = "" } = job.metadata;
    try {
      const created = await executor.create(informers.jobs, job, cause);
      this.#record(cronJob, { type: "Normal", reason: "SuccessfulCreate", message: `Created job ${name}` }, cause);
      return created;
    } catch (error) {
      if (isStatus(error, "AlreadyExists")) {
        // Made before, and not told of: a crash came between.
        const existing = await executor.read(informers.jobs.type, namespace, name, cause);
        return existing && isControlledBy(existing, cronJob) ? existing : undefined;
      }
      const message = `Error creating job: ${error instanceof Error ? error.message : String(error)}`;
      if (!isNamespaceLeaving(error))
        this.#record(cronJob, { type: "Warning", reason: "FailedCreate", message }, cause);
      throw error;
    }
  }

  /** With its pods. */
  async #delete(cronJob: CronJob, job: Job, cause: Cause): Promise<void> {
    const { informers, executor } = this.#ports;
    const { name = "" } = job.metadata;
    if (job.metadata.deletionTimestamp !== undefined) return;
    try {
      await executor.delete(informers.jobs, job, cause, { propagationPolicy: "Background" });
      this.#record(cronJob, { type: "Normal", reason: "SuccessfulDelete", message: `Deleted job ${name}` }, cause);
    } catch (error) {
      const message = `Deleted job: ${error instanceof Error ? error.message : String(error)}`;
      this.#record(cronJob, { type: "Warning", reason: "FailedDelete", message }, cause);
      throw error;
    }
  }

  #record(cronJob: CronJob, { type, reason, message }: CronEvent, { trace }: Cause): void {
    this.#events.record({ apiVersion: "batch/v1", kind: "CronJob", object: cronJob }, type, reason, message, trace);
  }
}
