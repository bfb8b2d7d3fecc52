/**
 * Takes back what says that a pod is about to be disrupted, where nothing came of it: a preemption that found another way, an
 * eviction whose delete failed. A part of the disruption controller, with a queue of pods.
 */
import { done, followChanges, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { keyOf, splitKey } from "@pilothouse/informer";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { startWorkers } from "../../start-workers.ts";
import { staleAtMs, withoutTarget } from "./plan-stale.ts";

const NAME = "disruption-stale-target";

export function startStaleTargets(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers, executor } = ports;
  const queue = new WorkQueue({ name: NAME, clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  followChanges(scope, informers.pods, ({ type, object, trace }) => {
    if (type === "deleted") ownWrites.forget(keyOf(object));
    else if (staleAtMs(object) !== undefined) queue.add(keyOf(object), trace);
  });
  const reconcile = async (key: string, { trace, signal }: ReconcileContext): Promise<Outcome> => {
    const { namespace, name } = splitKey(key);
    const pod = informers.pods.get(namespace, name);
    const atMs = pod && staleAtMs(pod);
    if (!pod || atMs === undefined) return done;
    if (atMs > clock.now()) return requeueAfter(atMs - clock.now(), "it may still be taken away");
    await executor.updateStatus(informers.pods, withoutTarget(pod, clock.now()), { key, trace, signal, ownWrites });
    return done;
  };
  startWorkers(ports, { name: NAME, queue, workers: 1, controller: { ownWrites, reconcile } });
}
