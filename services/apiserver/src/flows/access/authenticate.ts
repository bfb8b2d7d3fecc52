/** Who asks: a client certificate, else a bearer token, else anonymous; and whom they act as. */
import type { ApiRequest } from "@pilothouse/api/http";
import type { Clock } from "@pilothouse/clock";
import type { Crypto, TokenClaims } from "@pilothouse/crypto";
import { badRequest, StatusError, unauthorized } from "@pilothouse/errors";
import { forbiddenError, type Attributes } from "../../core/access/authorize.ts";
import type { UserInfo } from "../../core/model.ts";
import {
  ANONYMOUS,
  impersonatedUser,
  impersonationOf,
  serviceAccountOf,
  userOfCertificate,
  userOfClaims,
  type Impersonation,
} from "../../core/access/users.ts";
import { bearerOf } from "../../core/websocket.ts";
import { known } from "../../registry/known.ts";
import type { CachedObjects } from "../reads/cached.ts";

export interface Authenticator {
  /** The user of a request, before impersonation. Throws 401. */
  authenticate(request: ApiRequest): Promise<UserInfo>;
  /** The user a token stands for, for this audience; undefined when it stands for nobody. */
  userOfToken(token: string, audiences: readonly string[], signal: AbortSignal): Promise<UserInfo | undefined>;
  /** The user that the request is made as. Throws 403 when `user` may not. */
  impersonate(request: ApiRequest, user: UserInfo, authorizer: Judge): Promise<UserInfo>;
}

export interface Judge {
  isAllowed(attributes: Attributes, signal: AbortSignal): Promise<boolean>;
}

export function createAuthenticator(
  { crypto, clock, cached }: { crypto: Crypto; clock: Clock; cached: CachedObjects },
  issuer: string,
): Authenticator {
  const userOfToken: Authenticator["userOfToken"] = async (token, audiences, signal) => {
    const claims = await crypto.verifyToken(token, clock.now());
    if (!claims || claims.iss !== issuer) return undefined;
    if (!claims.aud.some((audience) => audiences.includes(audience))) return undefined;
    const user = userOfClaims(claims);
    if (!user) return undefined;
    try {
      await cached.judge(() => requireBoundObjects(cached, claims), signal);
      return user;
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
      const user = token === undefined ? undefined : await userOfToken(token, [issuer], signal);
      if (!user) throw unauthorized();
      return user;
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

/** A token dies with its ServiceAccount, and with the pod it was made for. Throws 401. */
function requireBoundObjects(cached: CachedObjects, claims: TokenClaims): void {
  const bound = claims["kubernetes.io"];
  if (!bound) throw unauthorized();
  const account = cached.get(known.serviceAccounts, bound.namespace, bound.serviceaccount.name);
  if (!account || account.metadata.uid !== bound.serviceaccount.uid) throw unauthorized();
  if (!bound.pod) return;
  const pod = cached.get(known.pods, bound.namespace, bound.pod.name);
  if (!pod || pod.metadata.uid !== bound.pod.uid) throw unauthorized();
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
