/** Which certificate requests are approved without a person, and what the requestor must have been allowed for that. Pure. */
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import type { Node } from "@pilothouse/api/types/core-v1";
import type { RequestFacts } from "@pilothouse/pki/facts";
import {
  KUBELET_CLIENT_SIGNER,
  KUBELET_SERVING_SIGNER,
  NODE_AGENT_SIGNER,
  NODE_PREFIX,
  clientUsagesProblem,
  hasCondition,
  kubeletClientProblem,
  kubeletServingProblem,
  nodeAgentAuthority,
  requestingNode,
} from "../../core/certificate-requests.ts";

/** A reason to approve; the requestor must be allowed to create `certificatesigningrequests/<permission>`. */
export interface Recognition {
  readonly permission: string;
  readonly message: string;
}

interface Recognizer extends Recognition {
  /** `node`: the requesting node's object, if there is one. */
  readonly recognizes: (request: CertificateSigningRequest, facts: RequestFacts, node: Node | undefined) => boolean;
}

/** A node's certificate names it as itself; this is what every node is for itself. */
const LOOPBACK = ["localhost", "127.0.0.1", "::1"];

/** The first two are upstream's. */
const RECOGNIZERS: readonly Recognizer[] = [
  {
    permission: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
    recognizes: (request, facts) => request.spec.username === facts.commonName && isKubeletClient(request, facts),
  },
  {
    permission: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
    recognizes: isKubeletClient,
  },
  {
    permission: "selfnodeserver",
    message: "Auto approving self kubelet server certificate after SubjectAccessReview.",
    recognizes: isOwnServing,
  },
  {
    permission: "selfnodeagent",
    message: "Auto approving certificate of an agent of the node after SubjectAccessReview.",
    recognizes: isOwnAgent,
  },
];

/** Why the request may be approved, in order; empty if nobody but a person can. */
export function plan(
  request: CertificateSigningRequest,
  facts: RequestFacts,
  node: Node | undefined,
): readonly Recognition[] {
  if (!isUndecided(request)) return [];
  return RECOGNIZERS.filter(({ recognizes }) => recognizes(request, facts, node));
}

export function isUndecided(request: CertificateSigningRequest): boolean {
  return !request.status?.certificate && !hasCondition(request, "Approved") && !hasCondition(request, "Denied");
}

function isKubeletClient({ spec }: CertificateSigningRequest, facts: RequestFacts): boolean {
  return spec.signerName === KUBELET_CLIENT_SIGNER && kubeletClientProblem(facts, spec.usages ?? []) === undefined;
}

/** Only names and addresses that the node has by its own object. */
function isOwnServing(request: CertificateSigningRequest, facts: RequestFacts, node: Node | undefined): boolean {
  const { signerName, username, usages = [] } = request.spec;
  const name = requestingNode(request);
  if (signerName !== KUBELET_SERVING_SIGNER || name === undefined || node === undefined) return false;
  if (facts.commonName !== username || kubeletServingProblem(facts, usages) !== undefined) return false;
  const own = [name, ...LOOPBACK, ...(node.status?.addresses ?? []).map(({ address }) => address)];
  return [...facts.dnsNames, ...facts.ipAddresses].every((asked) => own.includes(asked));
}

function isOwnAgent(request: CertificateSigningRequest, facts: RequestFacts): boolean {
  const node = requestingNode(request);
  const { signerName, usages = [] } = request.spec;
  if (signerName !== NODE_AGENT_SIGNER || node === undefined) return false;
  return nodeAgentAuthority(facts, node) !== undefined && clientUsagesProblem(usages) === undefined;
}

/** Whether a later look could decide otherwise: the node may yet tell its addresses. */
export function mayChange({ spec }: CertificateSigningRequest): boolean {
  return spec.signerName === KUBELET_SERVING_SIGNER && (spec.username ?? "").startsWith(NODE_PREFIX);
}
