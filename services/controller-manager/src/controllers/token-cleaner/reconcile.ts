/** The token cleaner: a bootstrap token whose time is over is deleted. It decides by one comparison: core/bootstrap-tokens.ts. */
import { done, followChanges, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { keyOf, splitKey } from "@pilothouse/informer";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { endsAtMs } from "../../core/bootstrap-tokens.ts";
import { startWorkers } from "../../start-workers.ts";

const NAME = "token-cleaner";

export function startTokenCleanerController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers, executor } = ports;
  const { bootstrapTokens } = informers;
  const queue = new WorkQueue({ name: NAME, clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  followChanges(scope, bootstrapTokens, ({ object, trace }) => void queue.add(keyOf(object), trace));
  const reconcile = async (key: string, { trace, signal }: ReconcileContext): Promise<Outcome> => {
    const { namespace, name } = splitKey(key);
    const secret = bootstrapTokens.get(namespace, name);
    if (!secret) {
      ownWrites.forget(key);
      return done;
    }
    const waitMs = endsAtMs(secret) - clock.now();
    if (waitMs === Infinity || secret.metadata.deletionTimestamp !== undefined) return done;
    if (waitMs > 0) return requeueAfter(waitMs, "it is still good");
    const { resourceVersion = "" } = secret.metadata;
    try {
      // As it was seen: one that was given more time meanwhile stays.
      await executor.delete(bootstrapTokens, secret, { key, trace, signal, ownWrites }, { resourceVersion });
    } catch (error) {
      if (!isStatus(error, "Conflict")) throw error;
    }
    return done;
  };
  startWorkers(ports, { name: NAME, queue, workers: 1, controller: { ownWrites, reconcile } });
}
