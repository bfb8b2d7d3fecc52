/** The Endpoints controller: one Endpoints object for each Service with a selector. */
import { done, followChanges, OwnWrites } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { keyOf, splitKey } from "@pilothouse/informer";
import { WorkQueue } from "@pilothouse/workqueue";
import { startWorkers } from "../../start-workers.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import type { Cause } from "../../executor.ts";
import { BY_NAMESPACE } from "../../informers.ts";
import { followServicesAndPods } from "../../services-of-pods.ts";
import { isManaged } from "../endpointslice/rules.ts";
import { plan } from "./plan.ts";

const WORKERS = 5;
const MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by";

export function startEndpointsController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const queue = new WorkQueue({ name: "endpoints", clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  followServicesAndPods(ports, queue);
  followChanges(scope, informers.endpoints, ({ object, trace }) => void queue.add(keyOf(object), trace));
  startWorkers(ports, {
    name: "endpoints",
    queue,
    workers: WORKERS,
    controller: { ownWrites, reconcile: (key, context) => reconcileService(ports, ownWrites, key, context) },
  });
}

async function reconcileService(
  ports: ControllerPorts,
  ownWrites: OwnWrites,
  key: string,
  { trace, signal }: ReconcileContext,
): Promise<Outcome> {
  const { informers, executor } = ports;
  const { namespace, name } = splitKey(key);
  const cause: Cause = { key, trace, signal, ownWrites };
  const service = informers.services.get(namespace, name);
  const existing = informers.endpoints.get(namespace, name);
  if (!service) return removeOrphan(ports, cause);
  if (!isManaged(service)) return done;
  const wanted = plan(service, informers.pods.byIndex(BY_NAMESPACE, namespace), existing);
  if (!wanted) return done;
  if (existing) await executor.update(informers.endpoints, wanted, cause);
  else await executor.create(informers.endpoints, wanted, cause);
  return done;
}

/** Ours, of a Service that is surely gone (C13). What users or other controllers made stays. */
async function removeOrphan({ informers, executor }: ControllerPorts, cause: Cause): Promise<Outcome> {
  const { namespace, name } = splitKey(cause.key);
  const existing = informers.endpoints.get(namespace, name);
  if (!existing || existing.metadata.labels?.[MANAGED_BY_LABEL] === undefined) return done;
  if (await executor.read(informers.services.type, namespace, name, cause)) return done;
  const { resourceVersion } = existing.metadata;
  await executor.delete(informers.endpoints, existing, cause, resourceVersion === undefined ? {} : { resourceVersion });
  return done;
}
