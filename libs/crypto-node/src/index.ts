/**
 * The crypto port on Node's own crypto and jose: SHA-256, AES-GCM, and JWTs signed with RS256.
 *
 * Promises: tokens signed by any of the keys given verify; the first key signs. Does not promise: revocation of a token
 * (that the account still exists is the apiserver's question). Limits: RSA keys of 2048 bits or more, PKCS #8 or PKCS #1.
 */
import { createHash, createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { legacyClaimsOf, type Crypto, type LegacyTokenClaims, type TokenClaims } from "@pilothouse/crypto";
import { NONCE_BYTES, openAesGcm, sealAesGcm } from "@pilothouse/crypto/aes-gcm";
import { errors, exportJWK, jwtVerify, SignJWT, type JWK } from "jose";

export interface NodeCryptoOptions {
  /** PEM of the signing key. */
  readonly privateKeyPem: string;
  /** PEM of further keys whose tokens are still good. */
  readonly verifyingKeysPem?: readonly string[];
}

const ALGORITHM = "RS256";

export async function nodeCrypto({ privateKeyPem, verifyingKeysPem = [] }: NodeCryptoOptions): Promise<Crypto> {
  const privateKey = createPrivateKey(privateKeyPem);
  const publicKeys = [privateKeyPem, ...verifyingKeysPem].map((pem) => createPublicKey(pem));
  const jwks: JWK[] = [];
  for (const key of publicKeys) {
    // The key's id is the digest of its public part, as upstream has it.
    const der = key.export({ type: "spki", format: "der" });
    const kid = createHash("sha256").update(der).digest("base64url");
    jwks.push({ ...(await exportJWK(key)), kid, alg: ALGORITHM, use: "sig" });
  }
  const keyIds = jwks.map(({ kid }) => kid ?? "");

  return {
    sha256Hex: (bytes) => createHash("sha256").update(bytes).digest("hex"),

    seal: (key, plaintext, associated) => sealAesGcm(key, randomBytes(NONCE_BYTES), plaintext, associated),

    open: openAesGcm,

    signToken: (claims) =>
      new SignJWT("aud" in claims ? { ...claims, aud: [...claims.aud] } : { ...claims })
        .setProtectedHeader({ alg: ALGORITHM, kid: keyIds[0] ?? "" })
        .sign(privateKey),

    async verifyToken(token, nowMs) {
      for (const key of publicKeys) {
        try {
          const { payload } = await jwtVerify(token, key, { algorithms: [ALGORITHM], currentDate: new Date(nowMs) });
          return claimsOf(payload);
        } catch (error) {
          // A token of another key, an expired one or no token at all: nobody's. Anything else is a fault of ours.
          if (!(error instanceof errors.JOSEError)) throw error;
        }
      }
      return undefined;
    },

    jwks: () => Promise.resolve({ keys: jwks }),
  };
}

function claimsOf(payload: Record<string, unknown>): TokenClaims | LegacyTokenClaims | undefined {
  const legacy = legacyClaimsOf(payload);
  if (legacy) return legacy;
  const { aud, exp, iat, iss, sub } = payload;
  if (typeof exp !== "number" || typeof iat !== "number" || typeof iss !== "string" || typeof sub !== "string") {
    return undefined;
  }
  const audiences = typeof aud === "string" ? [aud] : Array.isArray(aud) ? aud : [];
  return { ...payload, aud: audiences, exp, iat, iss, sub, nbf: Number(payload["nbf"] ?? iat) };
}
