/** Certificates by way of the API, for machines without authorities: a CertificateSigningRequest each, approved and signed there. */
import { createHash } from "node:crypto";
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import { isStatus } from "@pilothouse/errors";
import { lifetimeDaysOf, type IdentityPlan, type MachinePlan } from "./certificate-plan.ts";
import type { CertificateRequest, IssuedCertificate } from "./machine-certificates.ts";

const SECONDS_PER_DAY = 86_400;
/** The API refuses less. */
const MIN_SECONDS = 600;

/** Asks for all and waits for each; `signal` ends the waiting. Throws if one is denied or has failed, or time is over. */
export async function certificatesFromApi(
  client: ApiClient,
  plan: MachinePlan,
  requests: readonly CertificateRequest[],
  { say, signal }: { readonly say: (line: string) => void; readonly signal: AbortSignal },
): Promise<readonly IssuedCertificate[]> {
  const asked = [];
  for (const request of requests) {
    const identity = plan.identities.find(({ name }) => name === request.identity) as IdentityPlan;
    const wanted = signingRequest(plan, identity, request);
    say(`${identity.name}: asking the API (${wanted.metadata.name})`);
    asked.push({ identity: identity.name, request: await createOnce(client, wanted, signal) });
  }
  const issued: IssuedCertificate[] = [];
  for (const { identity, request } of asked)
    issued.push({ identity, certificatePem: await waitForCertificate(client, request, signal) });
  return issued;
}

/** Who is asked to sign: by what the certificate is for. */
export function signerOf({ authority, organizations = [], usages }: IdentityPlan): string {
  const isNode = authority === "cluster-ca" && organizations.includes("system:nodes");
  if (isNode && usages.includes("server")) return "kubernetes.io/kubelet-serving";
  return isNode ? "kubernetes.io/kube-apiserver-client-kubelet" : "pilothouse.io/node-agent";
}

/** Its name follows from the key and the plan, so that one who was interrupted finds what was asked. */
export function signingRequest(
  plan: MachinePlan,
  identity: IdentityPlan,
  { csrPem, keyId }: CertificateRequest,
): CertificateSigningRequest {
  const seconds = Math.max(MIN_SECONDS, Math.round(lifetimeDaysOf(plan) * SECONDS_PER_DAY));
  const digest = createHash("sha256")
    .update(`${keyId}\n${JSON.stringify(identity)}`)
    .digest("hex");
  return {
    metadata: { name: `${identity.name}-${digest.slice(0, 16)}` },
    spec: {
      request: Buffer.from(csrPem).toString("base64"),
      signerName: signerOf(identity),
      expirationSeconds: seconds,
      usages: ["digital signature", ...identity.usages.map((usage) => `${usage} auth`)],
    },
  };
}

async function createOnce(
  client: ApiClient,
  wanted: CertificateSigningRequest,
  signal: AbortSignal,
): Promise<CertificateSigningRequest> {
  const type = resources.certificateSigningRequests;
  try {
    return await client.create(type, wanted, { signal });
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
    return client.get(type, "", wanted.metadata.name ?? "", { signal });
  }
}

/** A watch that ends is taken up again from a fresh look. */
async function waitForCertificate(
  client: ApiClient,
  request: CertificateSigningRequest,
  signal: AbortSignal,
): Promise<string> {
  const { name = "" } = request.metadata;
  const type = resources.certificateSigningRequests;
  const fieldSelector = `metadata.name=${name}`;
  try {
    for (;;) {
      const { items, resourceVersion } = await client.list(type, "", { fieldSelector, signal });
      const [now] = items;
      if (!now) throw new Error(`the request ${name} was removed before it was answered`);
      const known = certificateIn(now);
      if (known !== undefined) return known;
      for await (const event of client.watch(type, "", { fieldSelector, resourceVersion, signal })) {
        const certificate = event.type === "BOOKMARK" ? undefined : certificateIn(event.object);
        if (certificate !== undefined) return certificate;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    const hint = `look at \`kubectl get csr ${name}\``;
    throw new Error(`the request ${name} was not answered in time: ${hint}`, { cause: error });
  }
}

/** Undefined as long as there is no answer; throws if the answer is no. */
function certificateIn({ metadata, status }: CertificateSigningRequest): string | undefined {
  const no = status?.conditions?.find(({ type }) => type === "Denied" || type === "Failed");
  if (no) throw new Error(`the request ${metadata.name} is ${no.type.toLowerCase()}: ${no.message ?? no.reason ?? ""}`);
  return status?.certificate && Buffer.from(status.certificate, "base64").toString();
}
