/** What certificate requests say and where they stand; upstream's rules of what a node's certificates may say. Pure. */
import type { CertificateSigningRequest } from "@pilothouse/api/types/certificates-v1";
import type { LeafRequest } from "@pilothouse/pki";
import type { RequestFacts } from "@pilothouse/pki/facts";

/** Who signs: the API's authority, or the backbone's (etcd, NATS). */
export type AuthorityName = "cluster-ca" | "backbone-ca";

/** What a certificate is to say. */
export type LeafWish = Omit<LeafRequest, "validDays" | "nowMs">;

export const KUBELET_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet";
export const KUBELET_SERVING_SIGNER = "kubernetes.io/kubelet-serving";
export const API_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client";
/** Ours: client certificates of what runs on a node beside the kubelet. */
export const NODE_AGENT_SIGNER = "pilothouse.io/node-agent";

export const NODE_PREFIX = "system:node:";
const NODES_GROUP = "system:nodes";

export function hasCondition({ status }: CertificateSigningRequest, wanted: string): boolean {
  return (status?.conditions ?? []).some(({ type, status: is }) => type === wanted && is === "True");
}

/** The PEM text of the request. */
export function requestPem({ spec }: CertificateSigningRequest): string {
  return Buffer.from(spec.request, "base64").toString();
}

/** The node whose kubelet made the request; undefined if it was somebody else. */
export function requestingNode({ spec }: CertificateSigningRequest): string | undefined {
  const { username = "", groups = [] } = spec;
  if (!groups.includes(NODES_GROUP) || !username.startsWith(NODE_PREFIX)) return undefined;
  return username.slice(NODE_PREFIX.length) || undefined;
}

/** Why this is no kubelet's client certificate; undefined if it is. */
export function kubeletClientProblem(facts: RequestFacts, usages: readonly string[]): string | undefined {
  if (!isOfNodes(facts)) return "subject organization is not system:nodes";
  const refused = namesProblem(facts, []);
  if (refused !== undefined) return refused;
  if (!facts.commonName.startsWith(NODE_PREFIX)) return "subject common name does not begin with system:node:";
  return usagesProblem(usages, "client auth");
}

/** Why this is no kubelet's server certificate; undefined if it is. */
export function kubeletServingProblem(facts: RequestFacts, usages: readonly string[]): string | undefined {
  if (!isOfNodes(facts)) return "subject organization is not system:nodes";
  if (facts.dnsNames.length === 0 && facts.ipAddresses.length === 0) return "DNS or IP subjectAltName is required";
  const refused = namesProblem(facts, ["DNS", "IP"]);
  if (refused !== undefined) return refused;
  const wrongUsages = usagesProblem(usages, "server auth");
  if (wrongUsages !== undefined) return wrongUsages;
  return facts.commonName.startsWith(NODE_PREFIX) ? undefined : "subject common name does not begin with system:node:";
}

/** Why this is no user's client certificate; undefined if it is. */
export function clientUsagesProblem(usages: readonly string[]): string | undefined {
  const known = ["digital signature", "key encipherment", "client auth"];
  const unknown = usages.find((usage) => !known.includes(usage));
  if (unknown !== undefined) return `invalid usage for client certificate: ${unknown}`;
  return usages.includes("client auth") ? undefined : "missing required usage for client certificate: client auth";
}

/**
 * Which authority signs an agent of this node; undefined if the subject is none. The backbone's clients name their node, users of
 * the API are the same on every node.
 */
export function nodeAgentAuthority(
  { commonName, organizations, ...names }: RequestFacts,
  node: string,
): AuthorityName | undefined {
  if (organizations.length > 0 || namesProblem({ commonName, organizations, ...names }, []) !== undefined)
    return undefined;
  if (["system:kube-proxy", "system:dns"].includes(commonName)) return "cluster-ca";
  return ["kubelet", "proxy", "dns"].some((agent) => commonName === `${agent}:${node}`) ? "backbone-ca" : undefined;
}

function isOfNodes({ organizations }: RequestFacts): boolean {
  return organizations.length === 1 && organizations[0] === NODES_GROUP;
}

function namesProblem(facts: RequestFacts, allowed: readonly string[]): string | undefined {
  const { dnsNames, emailAddresses, ipAddresses, uris } = facts;
  const kinds = Object.entries({ DNS: dnsNames, Email: emailAddresses, IP: ipAddresses, URI: uris });
  const refused = kinds.find(([kind, names]) => names.length > 0 && !allowed.includes(kind));
  return refused && `${refused[0]} subjectAltNames are not allowed`;
}

function usagesProblem(usages: readonly string[], purpose: string): string | undefined {
  const wanted = ["digital signature", purpose];
  const others = usages.filter((usage) => !wanted.includes(usage) && usage !== "key encipherment");
  if (others.length === 0 && wanted.every((usage) => usages.includes(usage))) return undefined;
  return `usages did not match [${[wanted[0], "key encipherment", purpose].join(" ")}]`;
}
