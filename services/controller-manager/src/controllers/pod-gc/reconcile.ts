/**
 * The pod garbage collector: pods whose node is no more, pods that go but never had a node, and ended pods beyond a number.
 *
 * Promises (C13): a pod is deleted by force only when its node has been missing for 40 s, or is out of service, and a consistent read
 * says so too.
 * Works through all pods every 20 s: nobody waits for it, and what it looks for is what no news tells of.
 */
import type { Pod, PodCondition } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { inParallel, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { WorkQueue } from "@pilothouse/workqueue";
import { startWorkers } from "../../start-workers.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { withCondition } from "../../core/conditions.ts";
import { hasPodEnded } from "../../core/pods.ts";
import { timestampOf } from "../../core/values.ts";
import type { Cause } from "../../executor.ts";
import { isOutOfService, missingNodes, plan, type PodGcAction } from "./plan.ts";

const PARALLEL_DELETES = 16;
const SWEEP_MS = 20_000;
/** Upstream's --terminated-pod-gc-threshold. */
const TERMINATED_THRESHOLD = 12_500;
/** There is one piece of work: all pods. */
const ALL_PODS = "all pods";

export function startPodGcController(ports: ControllerPorts, terminatedThreshold = TERMINATED_THRESHOLD): void {
  const { clock, telemetry } = ports;
  const queue = new WorkQueue({ name: "pod-gc", clock, tracer: telemetry.tracer });
  const controller = new PodGcController(ports, terminatedThreshold);
  startWorkers(ports, { name: "pod-gc", queue, workers: 1, controller });
  queue.add(ALL_PODS);
}

class PodGcController {
  readonly #ports: ControllerPorts;
  readonly #terminatedThreshold: number;
  readonly #ownWrites = new OwnWrites();
  #missingSinceMs: ReadonlyMap<string, number> = new Map();

  constructor(ports: ControllerPorts, terminatedThreshold: number) {
    this.#ports = ports;
    this.#terminatedThreshold = terminatedThreshold;
  }

  async reconcile(key: string, { trace, signal, log }: ReconcileContext): Promise<Outcome> {
    const { informers, clock } = this.#ports;
    const cause: Cause = { key, trace, signal, ownWrites: this.#ownWrites };
    if (!this.#ownWrites.seen(key)) return requeueAfter(SWEEP_MS, "own writes are not seen yet");
    const nowMs = clock.monotonicMs();
    const seen = { pods: informers.pods.list(), nodes: informers.nodes.list(), missingSinceMs: this.#missingSinceMs };
    this.#missingSinceMs = missingNodes(seen, nowMs);
    const view = { ...seen, missingSinceMs: this.#missingSinceMs, terminatedThreshold: this.#terminatedThreshold };
    await inParallel(plan(view, nowMs), PARALLEL_DELETES, async (action) => {
      await this.#execute(action, cause).catch((error: unknown) => {
        if (signal.aborted) throw error;
        log.warn("a pod was not collected; trying again", { pod: action.pod.metadata.name, error });
      });
    });
    return requeueAfter(SWEEP_MS, "the next sweep");
  }

  async #execute(action: PodGcAction, cause: Cause): Promise<void> {
    const { executor } = this.#ports;
    switch (action.do) {
      case "delete":
        return this.#deleteByForce(action.pod, cause);
      case "check node":
        if (await executor.read(resources.nodes, "", action.nodeName, cause)) return;
        return this.#deleteByForce(await this.#fail(action.pod, cause, [this.#nodeGone()]), cause);
      case "end for its node": {
        const node = await executor.read(resources.nodes, "", action.nodeName, cause);
        if (node && isOutOfService(node)) await this.#deleteByForce(await this.#fail(action.pod, cause), cause);
      }
    }
  }

  #nodeGone(): PodCondition {
    const { clock } = this.#ports;
    return {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByPodGC",
      message: "PodGC: node no longer exists",
      lastTransitionTime: timestampOf(clock.now()),
    };
  }

  /** So that whoever made the pod sees that it has ended, and why. */
  async #fail(pod: Pod, cause: Cause, why: readonly PodCondition[] = []): Promise<Pod> {
    if (hasPodEnded(pod)) return pod;
    const { executor, informers } = this.#ports;
    const conditions = why.reduce(withCondition, pod.status?.conditions ?? []);
    const failed = { ...pod, status: { ...pod.status, phase: "Failed", conditions } };
    return executor.updateStatus(informers.pods, failed, cause);
  }

  async #deleteByForce(pod: Pod, cause: Cause): Promise<void> {
    const { executor, informers } = this.#ports;
    const { resourceVersion = "" } = pod.metadata;
    await executor.delete(informers.pods, pod, cause, { gracePeriodSeconds: 0, resourceVersion });
  }
}
