/** Who a request comes from: certificates, tokens and impersonation as user names and groups. Pure. */
import type { Peer } from "@pilothouse/api/http";
import type { LegacyTokenClaims, TokenClaims } from "@pilothouse/crypto";
import type { UserInfo } from "../model.ts";

export const SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:";
export const AUTHENTICATED = "system:authenticated";
export const NODES_GROUP = "system:nodes";
export const NODE_PREFIX = "system:node:";

export const ANONYMOUS: UserInfo = { name: "system:anonymous", groups: ["system:unauthenticated"] };

/** Which of a user's credentials it was: audit and `kubectl auth whoami` show it. */
const CREDENTIAL_ID = "authentication.kubernetes.io/credential-id";

export function userOfCertificate({ commonName, organizations, sha256 }: NonNullable<Peer["certificate"]>): UserInfo {
  const user = { name: commonName, groups: withAuthenticated(organizations) };
  return sha256 === undefined ? user : { ...user, extra: { [CREDENTIAL_ID]: [`X509SHA256=${sha256}`] } };
}

/** The user behind a token's claims; undefined when it is not a ServiceAccount's. */
export function userOfClaims(claims: TokenClaims): UserInfo | undefined {
  const bound = claims["kubernetes.io"];
  if (!bound) return undefined;
  const { namespace, serviceaccount, pod, node } = bound;
  if (claims.sub !== `${SERVICE_ACCOUNT_PREFIX}${namespace}:${serviceaccount.name}`) return undefined;
  const extra: Record<string, readonly string[]> = {};
  if (claims.jti) extra[CREDENTIAL_ID] = [`JTI=${claims.jti}`];
  if (pod) {
    extra["authentication.kubernetes.io/pod-name"] = [pod.name];
    extra["authentication.kubernetes.io/pod-uid"] = [pod.uid];
  }
  if (node) {
    extra["authentication.kubernetes.io/node-name"] = [node.name];
    if (node.uid) extra["authentication.kubernetes.io/node-uid"] = [node.uid];
  }
  return {
    name: claims.sub,
    uid: serviceaccount.uid,
    groups: [...serviceAccountGroups(namespace), AUTHENTICATED],
    extra,
  };
}

/** The user behind a token that stands in a Secret. */
export function userOfLegacyClaims(claims: LegacyTokenClaims): UserInfo | undefined {
  const namespace = claims["kubernetes.io/serviceaccount/namespace"];
  const name = claims["kubernetes.io/serviceaccount/service-account.name"];
  if (claims.sub !== `${SERVICE_ACCOUNT_PREFIX}${namespace}:${name}`) return undefined;
  const uid = claims["kubernetes.io/serviceaccount/service-account.uid"];
  return { name: claims.sub, uid, groups: [...serviceAccountGroups(namespace), AUTHENTICATED] };
}

/** `system:serviceaccount:<namespace>:<name>` taken apart. */
export function serviceAccountOf(userName: string): { namespace: string; name: string } | undefined {
  if (!userName.startsWith(SERVICE_ACCOUNT_PREFIX)) return undefined;
  const [namespace, name, ...rest] = userName.slice(SERVICE_ACCOUNT_PREFIX.length).split(":");
  return namespace && name && rest.length === 0 ? { namespace, name } : undefined;
}

export function serviceAccountGroups(namespace: string): readonly string[] {
  return ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];
}

/** The node's name, for a kubelet's identity. */
export function nodeOf(user: UserInfo): string | undefined {
  if (!user.groups.includes(NODES_GROUP) || !user.name.startsWith(NODE_PREFIX)) return undefined;
  return user.name.slice(NODE_PREFIX.length) || undefined;
}

/** What `Impersonate-*` headers ask for. */
export interface Impersonation {
  readonly user: string;
  readonly uid: string | undefined;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** Undefined without impersonation; "userMissing" when groups or extras come without a user, which is an error. */
export function impersonationOf(headers: Readonly<Record<string, string>>): Impersonation | undefined | "userMissing" {
  const extra = Object.fromEntries(
    Object.entries(headers)
      .filter(([name]) => name.startsWith("impersonate-extra-"))
      .map(([name, value]) => [decoded(name.slice("impersonate-extra-".length)), listOf(value)]),
  );
  const groups = listOf(headers["impersonate-group"]);
  const uid = headers["impersonate-uid"];
  const user = headers["impersonate-user"];
  if (user) return { user, uid, groups, extra };
  return groups.length > 0 || uid !== undefined || Object.keys(extra).length > 0 ? "userMissing" : undefined;
}

/** The user that impersonation makes: a ServiceAccount gets its groups when none are asked for. */
export function impersonatedUser({ user, uid, groups, extra }: Impersonation): UserInfo {
  const account = serviceAccountOf(user);
  const own = account && groups.length === 0 ? serviceAccountGroups(account.namespace) : groups;
  const all = user === ANONYMOUS.name ? [...new Set([...own, ...ANONYMOUS.groups])] : unlessUnauthenticated(own);
  return { name: user, ...(uid === undefined ? {} : { uid }), groups: all, extra };
}

/** Who is said to be unauthenticated is not authenticated as well. */
function unlessUnauthenticated(groups: readonly string[]): readonly string[] {
  return ANONYMOUS.groups.some((group) => groups.includes(group)) ? groups : withAuthenticated(groups);
}

function withAuthenticated(groups: readonly string[]): readonly string[] {
  return groups.includes(AUTHENTICATED) ? groups : [...groups, AUTHENTICATED];
}

function listOf(value: string | undefined): readonly string[] {
  return value === undefined || value === "" ? [] : value.split(", ");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
