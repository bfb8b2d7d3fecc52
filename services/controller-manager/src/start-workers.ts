import { runController, type OwnWrites, type Outcome, type ReconcileContext } from "@pilothouse/controller";
import type { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "./controller-ports.ts";

/** Decides about one key at a time, and remembers what it did where news of that may be late. */
export interface Reconciler {
  readonly ownWrites?: OwnWrites;
  reconcile(key: string, context: ReconcileContext): Promise<Outcome>;
}

export interface Workers {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly workers: number;
  readonly controller: Reconciler;
}

/** The last step of a controller's start: its queue gets workers, which end with the leadership. */
export function startWorkers(ports: ControllerPorts, { name, queue, workers, controller }: Workers): void {
  const { clock, telemetry, scope, onLeadershipLost } = ports;
  const { ownWrites } = controller;
  runController({
    name,
    queue,
    workers,
    reconcile: (key, context) => controller.reconcile(key, context),
    clock,
    telemetry,
    scope,
    onLeadershipLost,
    ...(ownWrites ? { ownWrites } : {}),
  });
}
