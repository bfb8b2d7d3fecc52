/** Lets deleted volumes go once no claim has them. */
import { done, followChanges, OwnWrites } from "@pilothouse/controller";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { startWorkers } from "../../start-workers.ts";
import { plan } from "./plan.ts";

const WORKERS = 1;

export function startPvProtectionController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers, executor } = ports;
  const queue = new WorkQueue({ name: "pv-protection", clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  followChanges(scope, informers.persistentVolumes, ({ object, trace }) =>
    queue.add(object.metadata.name ?? "", trace),
  );
  startWorkers(ports, {
    name: "pv-protection",
    queue,
    workers: WORKERS,
    controller: {
      ownWrites,
      async reconcile(key, { trace, signal }) {
        const volume = informers.persistentVolumes.get("", key);
        const freed = volume && plan(volume);
        if (!freed) ownWrites.forget(key);
        // An update names the revision that was looked at: a volume that was bound meanwhile keeps its protection.
        else await executor.update(informers.persistentVolumes, freed, { key, trace, signal, ownWrites });
        return done;
      },
    },
  });
}
