/** The EndpointSlice mirroring controller: hears of Endpoints, Services and its slices; keeps a mirror of what people write. */
import type { Endpoints } from "@pilothouse/api/types/core-v1";
import type { EndpointSlice } from "@pilothouse/api/types/discovery-v1";
import { resources } from "@pilothouse/client";
import { done, followChanges, OwnWrites } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { keyOf, splitKey } from "@pilothouse/informer";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { nameSuffix } from "../../core/names.ts";
import type { Cause } from "../../executor.ts";
import { BY_CONTROLLER } from "../../informers.ts";
import { startWorkers } from "../../start-workers.ts";
import { isMirrored, MANAGED_BY, MANAGED_BY_LABEL, plan, SERVICE_NAME_LABEL } from "./plan.ts";

const WORKERS = 5;

export function startEndpointSliceMirroringController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const queue = new WorkQueue({ name: "endpointslice-mirroring", clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  followChanges(scope, informers.endpoints, ({ object, trace }) => queue.add(keyOf(object), trace));
  followChanges(scope, informers.services, ({ object, trace }) => queue.add(keyOf(object), trace));
  followChanges(scope, informers.endpointSlices, ({ object, trace }) => {
    const { namespace = "", labels } = object.metadata;
    const service = labels?.[SERVICE_NAME_LABEL];
    if (service && isOurs(object)) queue.add(`${namespace}/${service}`, trace);
  });
  startWorkers(ports, {
    name: "endpointslice-mirroring",
    queue,
    workers: WORKERS,
    controller: { ownWrites, reconcile: (key, context) => reconcileMirror(ports, ownWrites, key, context) },
  });
}

async function reconcileMirror(
  ports: ControllerPorts,
  ownWrites: OwnWrites,
  key: string,
  { trace, signal }: ReconcileContext,
): Promise<Outcome> {
  const { informers, executor, random } = ports;
  const { namespace, name } = splitKey(key);
  const endpoints = informers.endpoints.get(namespace, name);
  // The slices of Endpoints that are gone go with their owner.
  if (!endpoints || endpoints.metadata.deletionTimestamp !== undefined) {
    ownWrites.forget(key);
    return done;
  }
  const cause: Cause = { key, trace, signal, ownWrites };
  const slices = slicesOf(ports, endpoints);
  const isWanted = await mirrors(ports, endpoints, slices.length > 0, cause);
  const planned = isWanted ? plan(endpoints, slices) : { create: [], update: [], delete: slices };
  for (const slice of planned.create) {
    const named = { ...slice, metadata: { ...slice.metadata, name: `${name}-${nameSuffix(random)}` } };
    await executor.create(informers.endpointSlices, named, cause);
  }
  for (const slice of planned.update) await executor.update(informers.endpointSlices, slice, cause);
  for (const slice of planned.delete) await executor.delete(informers.endpointSlices, slice, cause);
  return done;
}

/** That there is no Service is asked of the API before slices are deleted for it (C13). */
async function mirrors(
  { informers, executor }: ControllerPorts,
  endpoints: Endpoints,
  hasSlices: boolean,
  cause: Cause,
): Promise<boolean> {
  const { namespace = "", name = "" } = endpoints.metadata;
  const shown = informers.services.get(namespace, name);
  const service = shown ?? (hasSlices ? await executor.read(resources.services, namespace, name, cause) : undefined);
  return service !== undefined && isMirrored(endpoints, service);
}

function slicesOf({ informers }: ControllerPorts, endpoints: Endpoints): readonly EndpointSlice[] {
  return informers.endpointSlices
    .byIndex(BY_CONTROLLER, endpoints.metadata.uid ?? "")
    .filter((slice) => isOurs(slice) && slice.metadata.deletionTimestamp === undefined);
}

function isOurs({ metadata }: EndpointSlice): boolean {
  return metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY;
}
