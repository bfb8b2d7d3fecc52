/**
 * The cleaner of certificate requests: each goes an hour after it was decided, or a day after it was made.
 *
 * Promises: deletes a request only as it saw it (by resourceVersion).
 */
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import { done, followChanges, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { isStatus } from "@pilothouse/errors";
import { expiryMs } from "@pilothouse/pki";
import { WorkQueue } from "@pilothouse/workqueue";
import type { ControllerPorts } from "../../controller-ports.ts";
import { startWorkers } from "../../start-workers.ts";
import { goesAtMs } from "./plan.ts";

export function startCsrCleanerController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers, executor } = ports;
  const { certificateSigningRequests: requests } = informers;
  const queue = new WorkQueue({ name: "csr-cleaner", clock, tracer: telemetry.tracer });
  const ownWrites = new OwnWrites();
  followChanges(scope, requests, ({ object, trace }) => void queue.add(object.metadata.name ?? "", trace));
  const reconcile = async (key: string, { trace, signal }: ReconcileContext): Promise<Outcome> => {
    const request = requests.get("", key);
    if (!request) {
      ownWrites.forget(key);
      return done;
    }
    const waitMs = goesAtMs(request, endOf(request)) - clock.now();
    if (waitMs >= 0) return requeueAfter(waitMs + 1, "it is still needed");
    const { resourceVersion = "" } = request.metadata;
    try {
      await executor.delete(requests, request, { key, trace, signal, ownWrites }, { resourceVersion });
    } catch (error) {
      // It has changed: that will be heard, and judged anew.
      if (!isStatus(error, "Conflict")) throw error;
    }
    return done;
  };
  startWorkers(ports, { name: "csr-cleaner", queue, workers: 1, controller: { ownWrites, reconcile } });
}

function endOf({ status }: CertificateSigningRequest): number | undefined {
  if (!status?.certificate) return undefined;
  try {
    return expiryMs(Buffer.from(status.certificate, "base64").toString());
  } catch {
    return undefined; // by a signer of somebody else's, and no single certificate
  }
}
