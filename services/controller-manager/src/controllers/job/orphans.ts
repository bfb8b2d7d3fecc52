/** Pods that wait to be counted by a Job that is gone, or has ended, or was never theirs: nobody will count them. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { done, OwnWrites } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { splitKey } from "@pilothouse/informer";
import { isJobFinished } from "@pilothouse/kinds/batch/job-status";
import type { ControllerPorts } from "../../controller-ports.ts";
import { controllerOf } from "../../core/ownership.ts";
import type { Cause } from "../../executor.ts";
import { letGo } from "./let-go.ts";
import { isManagedElsewhere, isTracked } from "./rules-tracking.ts";

export class OrphanController {
  readonly #ports: ControllerPorts;
  readonly ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { namespace, name } = splitKey(key);
    const pod = this.#ports.informers.pods.get(namespace, name);
    const cause: Cause = { key, trace, signal, ownWrites: this.ownWrites };
    if (!pod) this.ownWrites.forget(key);
    else if (isTracked(pod) && !(await this.#isCountedBySomebody(pod, cause))) await letGo(this.#ports, pod, cause);
    return done;
  }

  /** Asked of the API, not of a cache (C13). */
  async #isCountedBySomebody(pod: Pod, cause: Cause): Promise<boolean> {
    const controller = controllerOf(pod);
    if (!controller) return false;
    // The finalizer of another kind's pod is that kind's business.
    if (controller.kind !== "Job" || controller.apiVersion !== "batch/v1") return true;
    const { informers, executor } = this.#ports;
    const job = await executor.read(informers.jobs.type, pod.metadata.namespace ?? "", controller.name, cause);
    if (job?.metadata.uid !== controller.uid) return false;
    return isManagedElsewhere(job) || !isJobFinished(job);
  }
}
