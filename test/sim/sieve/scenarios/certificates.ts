/** Certificate requests that are approved, signed and go. */
import type {
  CertificateSigningRequest,
  CertificateSigningRequestCondition,
} from "@pilothouse/api/types/certificates-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import type { Scenario, Step } from "../scenario.ts";
import { controllerManager } from "../subjects.ts";
import { REQUEST_OF_A, REQUEST_OF_B } from "./certificates.fixture.ts";

const type = resources.certificateSigningRequests;

const ask = (name: string, pem: string, usage = "client auth"): Step => ({
  afterMs: 300,
  does: `asks for ${name}`,
  run: (client) =>
    client.create<CertificateSigningRequest>(type, {
      metadata: { name },
      spec: {
        request: Buffer.from(pem).toString("base64"),
        signerName: "kubernetes.io/kube-apiserver-client-kubelet",
        usages: ["digital signature", usage],
      },
    }),
});

const decide = (name: string, condition: Partial<CertificateSigningRequestCondition> & { type: string }): Step => ({
  afterMs: 300,
  does: `says ${condition.type} of ${name}`,
  async run(client: ApiClient) {
    const request = await client.get(type, "", name);
    const status = { ...request.status, conditions: [{ status: "True", ...condition }] };
    await client.update(type, { ...request, status }, { subresource: "approval" });
  },
});

const LONG_AGO = "2020-01-01T00:00:00Z";

export const certificates: readonly Scenario[] = [
  {
    // Here an administrator asks, who may ask for any node.
    name: "csr-approving",
    subject: controllerManager("csr-approving"),
    steps: [
      ask("a", REQUEST_OF_A),
      ask("a-for-servers", REQUEST_OF_A, "server auth"),
      ask("b", REQUEST_OF_B),
      { afterMs: 300, does: "takes a back", run: (client) => client.delete(type, "", "a") },
      ask("a", REQUEST_OF_A),
      ask("a-again", REQUEST_OF_A),
      ask("b-again", REQUEST_OF_B),
    ],
  },
  {
    name: "csr-signing",
    subject: controllerManager("csr-signing"),
    steps: [
      ask("a", REQUEST_OF_A),
      ask("b", REQUEST_OF_B),
      ask("a-for-servers", REQUEST_OF_A, "server auth"),
      decide("a", { type: "Approved" }),
      decide("b", { type: "Denied" }),
      decide("a-for-servers", { type: "Approved" }),
      ask("a-again", REQUEST_OF_A),
      decide("a-again", { type: "Approved" }),
    ],
  },
  {
    name: "csr-cleaner",
    subject: controllerManager("csr-cleaner"),
    steps: [
      ask("a", REQUEST_OF_A),
      ask("b", REQUEST_OF_B),
      ask("c", REQUEST_OF_A),
      decide("a", { type: "Denied", lastUpdateTime: LONG_AGO }),
      decide("b", { type: "Denied" }),
      decide("c", { type: "Denied", lastUpdateTime: LONG_AGO }),
      ask("d", REQUEST_OF_A),
      decide("d", { type: "Denied", lastUpdateTime: LONG_AGO }),
    ],
  },
];
