/**
 * The signer of certificate requests: what is approved gets its certificate, by the authority that its signer stands for.
 *
 * Promises: signs only what is approved and says what its signer may say; a request is given one certificate, once.
 * Does nothing for an authority that this machine does not hold.
 */
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import { done, followChanges, OwnWrites } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { requestFacts } from "@pilothouse/pki/facts";
import { WorkQueue } from "@pilothouse/workqueue";
import { requestPem } from "../../core/certificate-requests.ts";
import { withCondition } from "../../core/conditions.ts";
import { timestampOf } from "../../core/values.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { startWorkers } from "../../start-workers.ts";
import { isReadyToSign, plan } from "./plan.ts";

const WORKERS = 2;

export function startCsrSigningController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const queue = new WorkQueue({ name: "csr-signing", clock, tracer: telemetry.tracer });
  followChanges(scope, informers.certificateSigningRequests, ({ object, trace }) => {
    queue.add(object.metadata.name ?? "", trace);
  });
  startWorkers(ports, { name: "csr-signing", queue, workers: WORKERS, controller: new CsrSigner(ports) });
}

class CsrSigner {
  readonly #ports: ControllerPorts;
  readonly ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
  }

  async reconcile(key: string, context: ReconcileContext): Promise<Outcome> {
    const { informers, config, clock } = this.#ports;
    const request = informers.certificateSigningRequests.get("", key);
    if (!request) {
      this.ownWrites.forget(key);
      return done;
    }
    if (!isReadyToSign(request)) return done;
    const action = plan(request, requestFacts(requestPem(request)));
    switch (action.do) {
      case "nothing":
        return done;
      case "fail": {
        const why = { reason: "SignerValidationFailure", message: action.message };
        const condition = { type: "Failed", status: "True", ...why, lastUpdateTime: timestampOf(clock.now()) };
        await this.#update(key, request, { conditions: withCondition(request.status?.conditions, condition) }, context);
        return done;
      }
      case "sign": {
        const sign = config.signers?.[action.authority];
        if (!sign) return done;
        const pem = await sign(requestPem(request), action.leaf, action.lifeSeconds);
        await this.#update(key, request, { certificate: Buffer.from(pem).toString("base64") }, context);
        return done;
      }
    }
  }

  async #update(
    key: string,
    request: CertificateSigningRequest,
    change: NonNullable<CertificateSigningRequest["status"]>,
    { trace, signal }: ReconcileContext,
  ): Promise<void> {
    const { informers, executor } = this.#ports;
    const changed = { ...request, status: { ...request.status, ...change } };
    const cause = { key, trace, signal, ownWrites: this.ownWrites };
    await executor.updateStatus(informers.certificateSigningRequests, changed, cause);
  }
}
