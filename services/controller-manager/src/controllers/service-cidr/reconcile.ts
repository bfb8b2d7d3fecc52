/**
 * The service-cidr controller: tells that a range is ready, and keeps one that is deleted until no Service needs it.
 *
 * Promises (C13): a finalizer goes only after the API itself has said, in reads that began after the range was marked, that no
 * address would be left without a range, and only from the range that was looked at. No address comes from it meanwhile: the
 * apiserver gives one only if the range is still unmarked, in the same transaction. So there is no pause to wait for, where
 * upstream waits ten seconds.
 */
import type { ServiceCIDR } from "@pilothouse/api/types/networking-v1";
import { resources } from "@pilothouse/client";
import { done, followChanges, OwnWrites, type Outcome, type ReconcileContext } from "@pilothouse/controller";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import type { Cause } from "../../executor.ts";
import { startWorkers } from "../../start-workers.ts";
import { plan, SERVICE_CIDR_FINALIZER, withReadiness } from "./plan.ts";

const NAME = "service-cidr";

export function startServiceCidrController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const queue = new WorkQueue({ name: NAME, clock, tracer: telemetry.tracer });
  /** What comes or goes may let one go that waits. */
  const wakeWaiting = (trace: Parameters<typeof queue.add>[1]): void => {
    for (const { metadata } of informers.serviceCidrs.list())
      if (metadata.deletionTimestamp !== undefined) queue.add(metadata.name ?? "", trace);
  };
  followChanges(scope, informers.serviceCidrs, ({ object, trace }) => {
    queue.add(object.metadata.name ?? "", trace);
    wakeWaiting(trace);
  });
  followChanges(scope, informers.ipAddresses, ({ trace }) => wakeWaiting(trace));
  startWorkers(ports, { name: NAME, queue, workers: 1, controller: new ServiceCidrController(ports) });
}

class ServiceCidrController {
  readonly #ports: ControllerPorts;
  readonly ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers } = this.#ports;
    const range = informers.serviceCidrs.get("", key);
    if (!range) {
      this.ownWrites.forget(key);
      return done;
    }
    const world = { ranges: informers.serviceCidrs.list(), addresses: informers.ipAddresses.list() };
    await this.#carryOut(range, plan(range, world).do, { key, trace, signal, ownWrites: this.ownWrites });
    return done;
  }

  async #carryOut(range: ServiceCIDR, action: ReturnType<typeof plan>["do"], cause: Cause): Promise<void> {
    const { clock, executor, informers } = this.#ports;
    const { serviceCidrs } = informers;
    const tell = async (isReady: boolean): Promise<void> => {
      const now = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, "Z");
      await executor.updateStatus(serviceCidrs, withReadiness(range, isReady, now), cause);
    };
    const { finalizers = [] } = range.metadata;
    switch (action) {
      case "nothing":
        return;
      case "tell ready":
        return tell(true);
      case "tell terminating":
        return tell(false);
      case "add finalizer": {
        const metadata = { ...range.metadata, finalizers: [...finalizers, SERVICE_CIDR_FINALIZER] };
        await executor.update(serviceCidrs, { ...range, metadata }, cause);
        return;
      }
      case "let go": {
        if (!(await this.#isSurelyFree(range, cause))) return;
        const left = finalizers.filter((finalizer) => finalizer !== SERVICE_CIDR_FINALIZER);
        await executor.update(serviceCidrs, { ...range, metadata: { ...range.metadata, finalizers: left } }, cause);
        return;
      }
    }
  }

  /** By consistent reads, the other ranges last: what they let go of since is seen. */
  async #isSurelyFree(range: ServiceCIDR, { trace, signal }: Cause): Promise<boolean> {
    const { client } = this.#ports;
    const addresses = (await client.list(resources.ipAddresses, "", { trace, signal })).items;
    const ranges = (await client.list(resources.serviceCidrs, "", { trace, signal })).items;
    return plan(range, { ranges, addresses }).do === "let go";
  }
}
