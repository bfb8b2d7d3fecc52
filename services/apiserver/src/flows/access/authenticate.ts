/** Who asks: a client certificate, else a bearer token, else anonymous; and whom they act as. */
import type { ApiRequest } from "@pilothouse/api/http";
import type { Clock } from "@pilothouse/clock";
import type { Crypto, LegacyTokenClaims, TokenClaims } from "@pilothouse/crypto";
import { badRequest, StatusError, unauthorized } from "@pilothouse/errors";
import type { ObjectMeta } from "@pilothouse/kinds/kind";
import { forbiddenError, type Attributes } from "../../core/access/authorize.ts";
import type { UserInfo } from "../../core/model.ts";
import {
  ANONYMOUS,
  impersonatedUser,
  impersonationOf,
  serviceAccountOf,
  userOfCertificate,
  userOfClaims,
  userOfLegacyClaims,
  type Impersonation,
} from "../../core/access/users.ts";
import { bearerOf } from "../../core/websocket.ts";
import { bootstrapUserOf, isBootstrapToken } from "../../core/access/bootstrap-token.ts";
import { known, type Known } from "../../registry/known.ts";
import type { CachedObjects } from "../reads/cached.ts";

export interface Authenticator {
  /** The user of a request, before impersonation. Throws 401. */
  authenticate(request: ApiRequest): Promise<UserInfo>;
  /** Whom a token stands for, and for which of these audiences; undefined when it stands for nobody. */
  userOfToken(token: string, audiences: readonly string[], signal: AbortSignal): Promise<TokenOwner | undefined>;
  /** The user that the request is made as. Throws 403 when `user` may not. */
  impersonate(request: ApiRequest, user: UserInfo, authorizer: Judge): Promise<UserInfo>;
}

export interface TokenOwner {
  readonly user: UserInfo;
  /** Of those that were asked for. */
  readonly audiences: readonly string[];
}

export interface Judge {
  isAllowed(attributes: Attributes, signal: AbortSignal): Promise<boolean>;
}

export interface AuthenticatorConfig {
  readonly issuer: string;
  /** Tokens that stand in Secrets of kube-system let new machines in. */
  readonly withBootstrapTokens: boolean;
}

export function createAuthenticator(
  { crypto, clock, cached }: { crypto: Crypto; clock: Clock; cached: CachedObjects },
  { issuer, withBootstrapTokens }: AuthenticatorConfig,
): Authenticator {
  const userOfToken: Authenticator["userOfToken"] = async (token, audiences, signal) => {
    if (withBootstrapTokens && isBootstrapToken(token)) {
      const user = await bootstrapUser(cached, token, clock.now(), signal);
      return user && { user, audiences };
    }
    const claims = await crypto.verifyToken(token, clock.now());
    if (!claims) return undefined;
    const isLegacy = !("aud" in claims);
    if (!isLegacy && claims.iss !== issuer) return undefined;
    // A Secret's token names no audience: it is for the API alone.
    const named = isLegacy ? [issuer] : claims.aud;
    const shared = audiences.filter((audience) => named.includes(audience));
    if (shared.length === 0) return undefined;
    const user = isLegacy ? userOfLegacyClaims(claims) : userOfClaims(claims);
    if (!user) return undefined;
    const requireValid = (): void =>
      isLegacy ? requireOwnSecret(cached, claims, token) : requireBoundObjects(cached, claims, clock.now());
    try {
      await cached.judge(requireValid, signal);
      return { user, audiences: shared };
    } catch (error) {
      if (error instanceof StatusError && error.code === 401) return undefined;
      throw error;
    }
  };

  return {
    userOfToken,

    async authenticate({ peer, headers, signal }) {
      if (peer.certificate && peer.certificate.commonName !== "") return userOfCertificate(peer.certificate);
      const authorization = headers["authorization"] ?? "";
      const inProtocol = authorization === "" ? bearerOf(headers) : undefined;
      if (authorization === "" && inProtocol === undefined) {
        if (peer.hasBadCertificate) throw unauthorized();
        return ANONYMOUS;
      }
      const token = inProtocol ?? /^bearer (\S+)$/i.exec(authorization)?.[1];
      const owner = token === undefined ? undefined : await userOfToken(token, [issuer], signal);
      if (!owner) throw unauthorized();
      return owner.user;
    },

    async impersonate({ headers, signal }, user, authorizer) {
      const wanted = impersonationOf(headers);
      if (wanted === undefined) return user;
      if (wanted === "userMissing") {
        throw badRequest("requested impersonation without impersonating a user");
      }
      for (const attributes of rightsNeeded(user, wanted)) {
        if (!(await authorizer.isAllowed(attributes, signal))) throw forbiddenError(attributes);
      }
      return impersonatedUser(wanted);
    },
  };
}

/** A token dies with its ServiceAccount, and with the pod, the Secret or the node that it was made for. Throws 401. */
function requireBoundObjects(cached: CachedObjects, claims: TokenClaims, nowMs: number): void {
  const bound = claims["kubernetes.io"];
  if (!bound) throw unauthorized();
  const { namespace, serviceaccount, secret, pod, node } = bound;
  const require = <T extends { readonly metadata: ObjectMeta }>(
    type: Known<T>,
    where: string,
    { name, uid }: { readonly name: string; readonly uid?: string },
  ): void => {
    const metadata = cached.get(type, where, name)?.metadata;
    if (!metadata || metadata.uid !== uid) throw unauthorized();
    const { deletionTimestamp } = metadata;
    if (deletionTimestamp && Date.parse(deletionTimestamp) < nowMs - DELETED_LEEWAY_MS) throw unauthorized();
  };
  require(known.serviceAccounts, namespace, serviceaccount);
  if (secret) require(known.secrets, namespace, secret);
  if (pod) require(known.pods, namespace, pod);
  // A pod's node is told for information only.
  else if (node) require(known.nodes, "", node);
}

/** A Secret's token is good while it stands in the Secret, and the account is the one that it was made for. Throws 401. */
function requireOwnSecret(cached: CachedObjects, claims: LegacyTokenClaims, token: string): void {
  const namespace = claims["kubernetes.io/serviceaccount/namespace"];
  const secret = cached.get(known.secrets, namespace, claims["kubernetes.io/serviceaccount/secret.name"]);
  if (!secret || secret.metadata.deletionTimestamp !== undefined) throw unauthorized();
  if (Buffer.from(secret.data?.["token"] ?? "", "base64").toString() !== token) throw unauthorized();
  if (secret.metadata.labels?.[INVALID_SINCE] !== undefined) throw unauthorized();
  const account = cached.get(
    known.serviceAccounts,
    namespace,
    claims["kubernetes.io/serviceaccount/service-account.name"],
  );
  if (!account || account.metadata.deletionTimestamp !== undefined) throw unauthorized();
  if (account.metadata.uid !== claims["kubernetes.io/serviceaccount/service-account.uid"]) throw unauthorized();
}

/** Put on a Secret whose token nobody has used for long; whoever takes it off makes the token good again. */
const INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since";

/** What is being deleted may still finish what it does. */
const DELETED_LEEWAY_MS = 60_000;

/** By the Secret that the token names: what the cache does not know yet may be there all the same. */
async function bootstrapUser(
  cached: CachedObjects,
  token: string,
  nowMs: number,
  signal: AbortSignal,
): Promise<UserInfo | undefined> {
  const name = `bootstrap-token-${token.slice(0, token.indexOf("."))}`;
  const now = (): UserInfo | undefined => bootstrapUserOf(token, cached.get(known.secrets, "kube-system", name), nowMs);
  const user = now();
  if (user) return user;
  await cached.cache.waitUntilCurrent(signal);
  return now();
}

/** One question for the user, each group, the uid and each extra. */
function* rightsNeeded(user: UserInfo, wanted: Impersonation): Generator<Attributes> {
  const ask = (resource: string, name: string, group = "", namespace = "", subresource = ""): Attributes => ({
    user,
    verb: "impersonate",
    group,
    resource,
    subresource,
    namespace,
    name,
    path: "",
    isResourceRequest: true,
  });
  const account = serviceAccountOf(wanted.user);
  yield account ? ask("serviceaccounts", account.name, "", account.namespace) : ask("users", wanted.user);
  for (const group of wanted.groups) yield ask("groups", group);
  if (wanted.uid !== undefined) yield ask("uids", wanted.uid, "authentication.k8s.io");
  for (const [key, values] of Object.entries(wanted.extra)) {
    for (const value of values) yield ask("userextras", value, "authentication.k8s.io", "", key);
  }
}
