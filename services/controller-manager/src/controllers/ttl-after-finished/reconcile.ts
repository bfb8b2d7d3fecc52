/** Deletes Jobs, and their pods with them, some time after they have ended, where they say so. */
import { done, followChanges, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { keyOf, splitKey } from "@pilothouse/informer";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { startWorkers } from "../../start-workers.ts";
import { expiresAtMs } from "./plan.ts";

const WORKERS = 5;

export function startTtlAfterFinishedController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers, executor } = ports;
  const queue = new WorkQueue({ name: "ttl-after-finished", clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  followChanges(scope, informers.jobs, ({ type, object, trace }) => {
    if (type === "deleted") ownWrites.forget(keyOf(object));
    else if (expiresAtMs(object) !== undefined) queue.add(keyOf(object), trace);
  });
  const reconcile = async (key: string, { trace, signal }: ReconcileContext): Promise<Outcome> => {
    const { namespace, name } = splitKey(key);
    const job = informers.jobs.get(namespace, name);
    const expiryMs = job && expiresAtMs(job);
    if (expiryMs === undefined) return done;
    if (expiryMs > clock.now()) return requeueAfter(expiryMs - clock.now(), "its time has not come");
    const cause = { key, trace, signal, ownWrites };
    // Somebody may have given it more time meanwhile: asked of the API, and deleted only as it was judged.
    const fresh = await executor.read(informers.jobs.type, namespace, name, cause);
    const freshExpiryMs = fresh && expiresAtMs(fresh);
    if (!fresh || freshExpiryMs === undefined) return done;
    if (freshExpiryMs > clock.now()) return requeueAfter(freshExpiryMs - clock.now(), "it was given more time");
    const { resourceVersion = "" } = fresh.metadata;
    await executor.delete(informers.jobs, fresh, cause, { resourceVersion, propagationPolicy: "Foreground" });
    return done;
  };
  startWorkers(ports, { name: "ttl-after-finished", queue, workers: WORKERS, controller: { ownWrites, reconcile } });
}
