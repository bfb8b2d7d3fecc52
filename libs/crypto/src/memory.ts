/** The crypto port without cryptography: deterministic, for tests and the simulation. Tokens are readable and not secret. */
import type { Crypto, TokenClaims } from "./index.ts";

const PREFIX = "memory-token.";

export function memoryCrypto(): Crypto {
  return {
    sha256Hex: (bytes) => pseudoDigest(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes),
    signToken: (claims) =>
      Promise.resolve(`${PREFIX}${encode(JSON.stringify(claims))}.${pseudoDigest(encodeBytes(claims))}`),
    verifyToken: (token, nowMs) => Promise.resolve(verified(token, nowMs)),
    jwks: () => Promise.resolve({ keys: [] }),
  };
}

function verified(token: string, nowMs: number): TokenClaims | undefined {
  if (!token.startsWith(PREFIX)) return undefined;
  const [payload = "", digest] = token.slice(PREFIX.length).split(".");
  try {
    const claims = JSON.parse(decodeURIComponent(payload)) as TokenClaims;
    const isOurs = digest === pseudoDigest(encodeBytes(claims));
    return isOurs && claims.exp * 1_000 > nowMs && claims.nbf * 1_000 <= nowMs ? claims : undefined;
  } catch {
    return undefined;
  }
}

function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(".", "%2E");
}

function encodeBytes(claims: TokenClaims): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(claims));
}

/** 64 hex digits of eight FNV-1a runs with different starts: spreads well, proves nothing. */
function pseudoDigest(bytes: Uint8Array): string {
  let digest = "";
  for (let lane = 0; lane < 8; lane++) {
    let hash = (0x811c9dc5 ^ Math.imul(lane, 0x9e3779b9)) | 0;
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
    digest += (Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0).toString(16).padStart(8, "0");
  }
  return digest;
}
