/** The EndpointSlice controller: hears of Services, pods and slices; keeps the slices of each Service with a selector. */
import type { Service } from "@pilothouse/api/types/core-v1";
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { done, followChanges, OwnWrites } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { splitKey } from "@pilothouse/informer";
import { WorkQueue } from "@pilothouse/workqueue";
import { startWorkers } from "../../start-workers.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { nameSuffix } from "../../core/names.ts";
import type { Cause } from "../../executor.ts";
import { BY_CONTROLLER, BY_NAMESPACE } from "../../informers.ts";
import { followServicesAndPods } from "../../services-of-pods.ts";
import { MANAGED_BY, MANAGED_BY_LABEL, plan, SERVICE_NAME_LABEL } from "./plan.ts";
import { backends, isManaged } from "./rules.ts";
import { stamped, TriggerTimes } from "./trigger-times.ts";

const WORKERS = 5;
const ZONE_LABEL = "topology.kubernetes.io/zone";

export function startEndpointSliceController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const queue = new WorkQueue({ name: "endpointslice", clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  const triggers = new TriggerTimes();
  followServicesAndPods(ports, queue);
  followChanges(scope, informers.endpointSlices, ({ object, trace }) => {
    const { namespace = "", labels } = object.metadata;
    const service = labels?.[SERVICE_NAME_LABEL];
    if (service && labels?.[MANAGED_BY_LABEL] === MANAGED_BY) queue.add(`${namespace}/${service}`, trace);
  });
  startWorkers(ports, {
    name: "endpointslice",
    queue,
    workers: WORKERS,
    controller: { ownWrites, reconcile: (key, context) => reconcileService(ports, ownWrites, triggers, key, context) },
  });
}

async function reconcileService(
  ports: ControllerPorts,
  ownWrites: OwnWrites,
  triggers: TriggerTimes,
  key: string,
  { trace, signal }: ReconcileContext,
): Promise<Outcome> {
  const { informers, executor, random } = ports;
  const { namespace, name } = splitKey(key);
  const service = informers.services.get(namespace, name);
  // The slices of a Service that is gone go with their owner.
  if (!service || !isManaged(service) || service.metadata.deletionTimestamp !== undefined) {
    ownWrites.forget(key);
    triggers.forget(key);
    return done;
  }
  const cause: Cause = { key, trace, signal, ownWrites };
  const zoneOf = (node: string): string | undefined => informers.nodes.get("", node)?.metadata.labels?.[ZONE_LABEL];
  const pods = informers.pods.byIndex(BY_NAMESPACE, namespace);
  const since = triggers.next(key, service, backends(service, pods));
  const planned = plan(service, pods, managedSlices(ports, service), zoneOf);
  for (const slice of planned.create) {
    const named = { ...slice, metadata: { ...slice.metadata, name: `${name}-${nameSuffix(random)}` } };
    await executor.create(informers.endpointSlices, stamped(named, since), cause);
  }
  for (const slice of planned.update) await executor.update(informers.endpointSlices, stamped(slice, since), cause);
  // What moved is in its new slice before it leaves the old one.
  for (const slice of planned.delete) await executor.delete(informers.endpointSlices, slice, cause);
  return done;
}

function managedSlices({ informers }: ControllerPorts, service: Service): EndpointSlice[] {
  return informers.endpointSlices
    .byIndex(BY_CONTROLLER, service.metadata.uid ?? "")
    .filter(({ metadata }) => metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY && !metadata.deletionTimestamp);
}
