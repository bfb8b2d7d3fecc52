/** Lets deleted claims go once no pod uses them. */
import { resources } from "@pilothouse/client";
import { done, followChanges, OwnWrites } from "@pilothouse/controller";
import { keyOf, splitKey } from "@pilothouse/informer";
import { claimsOf } from "@pilothouse/kinds/core/volume-binding";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { BY_NAMESPACE } from "../../informers.ts";
import { startWorkers } from "../../start-workers.ts";
import { plan } from "./plan.ts";

const WORKERS = 2;

export function startPvcProtectionController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers, executor } = ports;
  const queue = new WorkQueue({ name: "pvc-protection", clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  followChanges(scope, informers.persistentVolumeClaims, ({ object, trace }) => {
    if (object.metadata.deletionTimestamp !== undefined) queue.add(keyOf(object), trace);
  });
  followChanges(scope, informers.pods, ({ object, trace }) => {
    for (const name of claimsOf(object)) queue.add(`${object.metadata.namespace ?? ""}/${name}`, trace);
  });
  startWorkers(ports, {
    name: "pvc-protection",
    queue,
    workers: WORKERS,
    controller: {
      ownWrites,
      async reconcile(key, { trace, signal }) {
        const { namespace, name } = splitKey(key);
        const claim = informers.persistentVolumeClaims.get(namespace, name);
        const isFree =
          claim !== undefined && plan(claim, informers.pods.byIndex(BY_NAMESPACE, namespace)) !== undefined;
        if (!isFree) {
          ownWrites.forget(key);
          return done;
        }
        // That no pod uses it is asked of the API (C13).
        const { items } = await ports.client.list(resources.pods, namespace, { trace });
        const freed = plan(claim, items);
        if (freed) await executor.update(informers.persistentVolumeClaims, freed, { key, trace, signal, ownWrites });
        return done;
      },
    },
  });
}
