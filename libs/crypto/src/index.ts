/**
 * The crypto port: what the services need of keys and digests, so that a simulation can replace the thread pool's work by
 * deterministic work of its own.
 */
export interface Crypto extends Sealing {
  /** SHA-256 of the bytes, lower-case hex. Synchronous: used for hashes of templates and documents, not for secrets. */
  sha256Hex(bytes: Uint8Array | string): string;
  /** A signed JWT (RS256 in the real adapter) with these claims; the same claims give the same token. */
  signToken(claims: TokenClaims | LegacyTokenClaims): Promise<string>;
  /** The claims of a token signed by us and not yet expired at `nowMs`; undefined for everything else. */
  verifyToken(token: string, nowMs: number): Promise<TokenClaims | LegacyTokenClaims | undefined>;
  /** Public keys as a JWKS document, for OIDC discovery. */
  jwks(): Promise<unknown>;
}

/** Secret-key encryption that also proves who sealed what: AES-GCM. Synchronous: values are small. */
export interface Sealing {
  /**
   * Nonce, ciphertext and tag; never the same twice. `key` has 16, 24 or 32 bytes; `associated` is bound to the result but not
   * in it. Limit: 2³² seals with one key.
   */
  seal(key: Uint8Array, plaintext: Uint8Array, associated: Uint8Array): Uint8Array;
  /** What was sealed by this key with these associated bytes; undefined for everything else. */
  open(key: Uint8Array, sealed: Uint8Array, associated: Uint8Array): Uint8Array | undefined;
}

/** JWT claims; times are in seconds since the epoch. */
export interface TokenClaims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: readonly string[];
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
  readonly jti?: string;
  readonly "kubernetes.io"?: {
    readonly namespace: string;
    readonly serviceaccount: { readonly name: string; readonly uid: string };
    readonly pod?: { readonly name: string; readonly uid: string };
    readonly node?: { readonly name: string; readonly uid?: string };
    readonly secret?: { readonly name: string; readonly uid: string };
  };
}

/** Who issues tokens that stand in Secrets, whatever the cluster's own issuer is. */
export const LEGACY_ISSUER = "kubernetes/serviceaccount";

/** Claims of a token that stands in a Secret: for no audience, and without an end of its own. */
export interface LegacyTokenClaims {
  readonly iss: typeof LEGACY_ISSUER;
  readonly sub: string;
  readonly "kubernetes.io/serviceaccount/namespace": string;
  readonly "kubernetes.io/serviceaccount/secret.name": string;
  readonly "kubernetes.io/serviceaccount/service-account.name": string;
  readonly "kubernetes.io/serviceaccount/service-account.uid": string;
}

/** Such claims, if these are: all of them, for nothing else bounds what the token may. */
export function legacyClaimsOf(claims: Readonly<Record<string, unknown>>): LegacyTokenClaims | undefined {
  const wanted = ["namespace", "secret.name", "service-account.name", "service-account.uid"];
  const fields = ["sub", ...wanted.map((field) => `kubernetes.io/serviceaccount/${field}`)];
  const isWhole = fields.every((field) => typeof claims[field] === "string" && claims[field] !== "");
  return claims["iss"] === LEGACY_ISSUER && isWhole ? (claims as unknown as LegacyTokenClaims) : undefined;
}
