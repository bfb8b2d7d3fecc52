/**
 * Controllers that keep one object of a fixed name in every active namespace: it is made when it is absent and mended when it
 * is not as it should be. The queue's key is the namespace's name.
 *
 * A cache that is behind costs at most one refused create: nothing here is ever deleted.
 */
import type { Namespace } from "@pilothouse/api/types/core-v1";
import type { KubernetesObject } from "@pilothouse/client";
import { done, followChanges, OwnWrites, type Outcome } from "@pilothouse/controller";
import type { ReconcileContext } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import type { Informer } from "@pilothouse/informer";
import { WorkQueue } from "@pilothouse/workqueue";
import { startWorkers } from "./start-workers.ts";
import type { ControllerPorts } from "./controller-ports.ts";
import { isNamespaceLeaving } from "./core/namespace-leaving.ts";
import type { PerNamespaceAction } from "./core/per-namespace.ts";
import type { Cause } from "./executor.ts";

export interface PerNamespaceOptions<T extends KubernetesObject> {
  readonly controller: string;
  /** The object's name, the same in every namespace. */
  readonly objectName: string;
  readonly informer: Informer<T>;
  readonly plan: (namespace: Namespace, actual: T | undefined) => PerNamespaceAction<T>;
  /** Where `plan` rests on more than its arguments: calls back when that has changed. */
  readonly onPlanChange?: (hear: () => void) => void;
}

const WORKERS = 2;

export function startPerNamespaceController<T extends KubernetesObject>(
  ports: ControllerPorts,
  options: PerNamespaceOptions<T>,
): void {
  const { clock, telemetry, scope, informers } = ports;
  const { controller: name, informer, objectName } = options;
  const queue = new WorkQueue({ name, clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  followChanges(scope, informers.namespaces, ({ object, trace }) => void queue.add(object.metadata.name ?? "", trace));
  followChanges(scope, informer, ({ object, trace }) => {
    if (object.metadata.name === objectName) queue.add(object.metadata.namespace ?? "", trace);
  });
  options.onPlanChange?.(() => {
    for (const { metadata } of informers.namespaces.list()) queue.add(metadata.name ?? "");
  });
  const reconcile = async (key: string, { trace, signal }: ReconcileContext): Promise<Outcome> => {
    const namespace = informers.namespaces.get("", key);
    if (!namespace) {
      ownWrites.forget(key);
      return done;
    }
    const action = options.plan(namespace, informer.get(key, objectName));
    await execute(ports, informer, action, { key, trace, signal, ownWrites });
    return done;
  };
  startWorkers(ports, { name, queue, workers: WORKERS, controller: { ownWrites, reconcile } });
}

async function execute<T extends KubernetesObject>(
  { executor }: ControllerPorts,
  informer: Informer<T>,
  action: PerNamespaceAction<T>,
  cause: Cause,
): Promise<void> {
  switch (action.do) {
    case "nothing":
      return;
    case "create":
      try {
        await executor.create(informer, action.object, cause);
      } catch (error) {
        // Somebody else's is as good, and the informer will show it; a namespace that goes or went needs nothing any more.
        const isNeedless = isStatus(error, "AlreadyExists") || isStatus(error, "NotFound") || isNamespaceLeaving(error);
        if (!isNeedless) throw error;
      }
      return;
    case "update":
      await executor.update(informer, action.object, cause);
  }
}
