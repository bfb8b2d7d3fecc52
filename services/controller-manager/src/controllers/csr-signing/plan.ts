/** What becomes of an approved certificate request: what is signed, by which authority, for how long; or why not. Pure. */
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import type { RequestFacts } from "@pilothouse/pki/facts";
import {
  API_CLIENT_SIGNER,
  KUBELET_CLIENT_SIGNER,
  KUBELET_SERVING_SIGNER,
  NODE_AGENT_SIGNER,
  clientUsagesProblem,
  hasCondition,
  kubeletClientProblem,
  kubeletServingProblem,
  nodeAgentAuthority,
  requestingNode,
  type AuthorityName,
  type LeafWish,
} from "../../core/certificate-requests.ts";

export type SigningAction =
  | { readonly do: "nothing" }
  | { readonly do: "fail"; readonly message: string }
  | { readonly do: "sign"; readonly authority: AuthorityName; readonly leaf: LeafWish; readonly lifeSeconds: number };

/** Upstream's --cluster-signing-duration: who asks for longer gets this. */
export const MAX_LIFE_SECONDS = 8_760 * 3_600;
/** Upstream's, too: twice what a certificate is backdated by. */
const MIN_LIFE_SECONDS = 600;

interface SignerRule {
  readonly problem: (
    facts: RequestFacts,
    usages: readonly string[],
    request: CertificateSigningRequest,
  ) => string | undefined;
  readonly authority: (facts: RequestFacts, request: CertificateSigningRequest) => AuthorityName;
}

const byCluster = (): AuthorityName => "cluster-ca";

const agentAuthority = (facts: RequestFacts, request: CertificateSigningRequest): AuthorityName | undefined =>
  nodeAgentAuthority(facts, requestingNode(request) ?? "");

const SIGNERS: Readonly<Record<string, SignerRule>> = {
  [API_CLIENT_SIGNER]: { problem: (_, usages) => clientUsagesProblem(usages), authority: byCluster },
  [KUBELET_CLIENT_SIGNER]: { problem: kubeletClientProblem, authority: byCluster },
  [KUBELET_SERVING_SIGNER]: { problem: kubeletServingProblem, authority: byCluster },
  [NODE_AGENT_SIGNER]: {
    // Judged again: a person may have approved what is no agent of the requesting node.
    problem: (facts, usages, request) =>
      agentAuthority(facts, request) === undefined
        ? "subject is no agent of the requesting node"
        : clientUsagesProblem(usages),
    authority: (facts, request) => agentAuthority(facts, request) ?? "cluster-ca",
  },
};

export function isReadyToSign(request: CertificateSigningRequest): boolean {
  const isApproved = hasCondition(request, "Approved") && !hasCondition(request, "Denied");
  return isApproved && !hasCondition(request, "Failed") && !request.status?.certificate;
}

export function plan(request: CertificateSigningRequest, facts: RequestFacts): SigningAction {
  const { signerName, usages = [], expirationSeconds = MAX_LIFE_SECONDS } = request.spec;
  const rule = SIGNERS[signerName];
  if (!rule || !isReadyToSign(request)) return { do: "nothing" };
  const problem = rule.problem(facts, usages, request);
  if (problem !== undefined) return { do: "fail", message: problem };
  const { commonName, organizations, dnsNames, ipAddresses } = facts;
  const purposes = (["client", "server"] as const).filter((purpose) => usages.includes(`${purpose} auth`));
  return {
    do: "sign",
    authority: rule.authority(facts, request),
    leaf: { commonName, organizations, dnsNames, ipAddresses, usages: purposes },
    lifeSeconds: Math.min(Math.max(expirationSeconds, MIN_LIFE_SECONDS), MAX_LIFE_SECONDS),
  };
}
