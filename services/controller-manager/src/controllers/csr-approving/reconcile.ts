/**
 * The approver of certificate requests: what a node asks for itself is approved without a person.
 *
 * Promises: nothing is approved but what a rule recognizes and the requestor may have approved by itself (a SubjectAccessReview);
 * the names of a server certificate are the node's own by a consistent read. Never denies.
 */
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import type { SubjectAccessReview } from "@pilothouse/api/types/authorization-v1";
import { resources } from "@pilothouse/client";
import { done, followChanges, OwnWrites, requeueAfter } from "@pilothouse/controller";
import type { Outcome, ReconcileContext } from "@pilothouse/controller";
import { requestFacts } from "@pilothouse/pki/facts";
import { WorkQueue } from "@pilothouse/workqueue";
import { requestPem, requestingNode } from "../../core/certificate-requests.ts";
import { withCondition } from "../../core/conditions.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { startWorkers } from "../../start-workers.ts";
import { isUndecided, mayChange, plan, type Recognition } from "./plan.ts";

const WORKERS = 2;
/** A node that is new tells its addresses soon. */
const LOOK_AGAIN_MS = 30_000;

export function startCsrApprovingController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const queue = new WorkQueue({ name: "csr-approving", clock, tracer: telemetry.tracer });
  followChanges(scope, informers.certificateSigningRequests, ({ object, trace }) => {
    queue.add(object.metadata.name ?? "", trace);
  });
  startWorkers(ports, { name: "csr-approving", queue, workers: WORKERS, controller: new CsrApprover(ports) });
}

class CsrApprover {
  readonly #ports: ControllerPorts;
  readonly ownWrites = new OwnWrites();

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers, executor } = this.#ports;
    const request = informers.certificateSigningRequests.get("", key);
    if (!request) {
      this.ownWrites.forget(key);
      return done;
    }
    if (!isUndecided(request)) return done;
    const name = requestingNode(request);
    const node = name && (await executor.read(resources.nodes, "", name, { trace, signal }));
    for (const { permission, message } of plan(request, requestFacts(requestPem(request)), node || undefined)) {
      if (!(await this.#isAllowed(request, permission, { trace, signal }))) continue;
      const condition = { type: "Approved", status: "True", reason: "AutoApproved", message };
      const status = { ...request.status, conditions: withCondition(request.status?.conditions, condition) };
      const cause = { key, trace, signal, ownWrites: this.ownWrites };
      await executor.updateSubresource(informers.certificateSigningRequests, "approval", { ...request, status }, cause);
      return done;
    }
    return mayChange(request) ? requeueAfter(LOOK_AGAIN_MS, "the node has not these names yet") : done;
  }

  /** What upstream asks of the requestor: to create `certificatesigningrequests/<permission>`. */
  async #isAllowed(
    { spec }: CertificateSigningRequest,
    subresource: Recognition["permission"],
    options: Pick<ReconcileContext, "trace" | "signal">,
  ): Promise<boolean> {
    const { username, uid, groups, extra } = spec;
    const review: Omit<SubjectAccessReview, "metadata"> = {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: {
        ...(username === undefined ? {} : { user: username }),
        ...(uid === undefined ? {} : { uid }),
        ...(groups === undefined ? {} : { groups }),
        ...(extra === undefined ? {} : { extra }),
        resourceAttributes: {
          group: "certificates.k8s.io",
          resource: "certificatesigningrequests",
          verb: "create",
          subresource,
        },
      },
    };
    const body = Buffer.from(JSON.stringify(review));
    const path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    const answer = await this.#ports.client.raw("POST", path, { ...options, body, contentType: "application/json" });
    const { status } = JSON.parse(Buffer.from(answer).toString()) as SubjectAccessReview;
    return status?.allowed === true;
  }
}
