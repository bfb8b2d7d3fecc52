/**
 * The crypto port: what the services need of keys and digests, so that a simulation can replace the thread pool's work by
 * deterministic work of its own.
 */
export interface Crypto extends Sealing {
  /** SHA-256 of the bytes, lower-case hex. Synchronous: used for hashes of templates and documents, not for secrets. */
  sha256Hex(bytes: Uint8Array | string): string;
  /** A signed JWT (RS256 in the real adapter) with these claims. */
  signToken(claims: TokenClaims): Promise<string>;
  /** The claims of a token signed by us and not yet expired at `nowMs`; undefined for everything else. */
  verifyToken(token: string, nowMs: number): Promise<TokenClaims | undefined>;
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
