/** The crypto port without keys: deterministic and synchronous, for tests and the simulation. Tokens are readable, not secret. */
import { createHash } from "node:crypto";
import { NONCE_BYTES, openAesGcm, sealAesGcm } from "./aes-gcm.ts";
import { legacyClaimsOf, type Crypto, type LegacyTokenClaims, type TokenClaims } from "./index.ts";

const PREFIX = "memory-token.";

export function memoryCrypto(): Crypto {
  let sealed = 0;
  const nextNonce = (): Uint8Array => {
    const nonce = Buffer.alloc(NONCE_BYTES);
    nonce.writeUInt32BE(++sealed);
    return nonce;
  };
  return {
    sha256Hex,
    seal: (key, plaintext, associated) => sealAesGcm(key, nextNonce(), plaintext, associated),
    open: openAesGcm,
    signToken: (claims) =>
      Promise.resolve(`${PREFIX}${encode(JSON.stringify(claims))}.${sha256Hex(encodeBytes(claims))}`),
    verifyToken: (token, nowMs) => Promise.resolve(verified(token, nowMs)),
    jwks: () => Promise.resolve({ keys: [] }),
  };
}

function verified(token: string, nowMs: number): TokenClaims | LegacyTokenClaims | undefined {
  if (!token.startsWith(PREFIX)) return undefined;
  const [payload = "", digest] = token.slice(PREFIX.length).split(".");
  try {
    const claims = JSON.parse(decodeURIComponent(payload)) as TokenClaims;
    if (digest !== sha256Hex(encodeBytes(claims))) return undefined;
    const legacy = legacyClaimsOf({ ...claims });
    if (legacy) return legacy;
    return claims.exp * 1_000 > nowMs && claims.nbf * 1_000 <= nowMs ? claims : undefined;
  } catch {
    return undefined;
  }
}

function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(".", "%2E");
}

function encodeBytes(claims: TokenClaims | LegacyTokenClaims): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(claims));
}

function sha256Hex(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}
