/** What every Crypto adapter promises; the real one and the deterministic one run the same cases. */
import { describe, expect, test } from "vitest";
import { LEGACY_ISSUER, type Crypto, type LegacyTokenClaims, type TokenClaims } from "./index.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const CLAIMS: TokenClaims = {
  iss: "https://kubernetes.default.svc.cluster.local",
  sub: "system:serviceaccount:default:web",
  aud: ["https://kubernetes.default.svc.cluster.local"],
  iat: NOW_MS / 1000,
  nbf: NOW_MS / 1000,
  exp: NOW_MS / 1000 + 3600,
  "kubernetes.io": {
    namespace: "default",
    serviceaccount: { name: "web", uid: "u-1" },
    pod: { name: "web-1", uid: "u-2" },
  },
};

const LEGACY: LegacyTokenClaims = {
  iss: LEGACY_ISSUER,
  sub: "system:serviceaccount:default:web",
  "kubernetes.io/serviceaccount/namespace": "default",
  "kubernetes.io/serviceaccount/secret.name": "web-token",
  "kubernetes.io/serviceaccount/service-account.name": "web",
  "kubernetes.io/serviceaccount/service-account.uid": "u-1",
};

/** `make` gives adapters with keys of their own where they have any. */
export function cryptoConformance(name: string, make: () => Promise<Crypto> | Crypto): void {
  describe(`crypto: ${name}`, () => {
    test("digests are SHA-256 in hex, of text as of its bytes", async () => {
      const crypto = await make();
      const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
      expect(crypto.sha256Hex("")).toBe(empty);
      expect(crypto.sha256Hex("ä")).toBe(crypto.sha256Hex(new TextEncoder().encode("ä")));
    });

    test("a token gives back the claims it was signed with, until it expires", async () => {
      const crypto = await make();
      const token = await crypto.signToken(CLAIMS);
      expect(await crypto.verifyToken(token, NOW_MS + 1)).toMatchObject(CLAIMS);
      expect(await crypto.verifyToken(token, NOW_MS + 3_600_001)).toBeUndefined();
      expect(await crypto.verifyToken(token, NOW_MS - 3_600_000)).toBeUndefined();
    });

    test("a Secret's token has no end, is the same each time, and names its Secret and account or is none", async () => {
      const crypto = await make();
      const token = await crypto.signToken(LEGACY);
      expect(await crypto.signToken(LEGACY)).toBe(token);
      for (const nowMs of [0, NOW_MS, 10 * NOW_MS]) expect(await crypto.verifyToken(token, nowMs)).toEqual(LEGACY);
      for (const changed of [{ iss: CLAIMS.iss }, { "kubernetes.io/serviceaccount/secret.name": "" }]) {
        const other = await crypto.signToken({ ...LEGACY, ...changed } as LegacyTokenClaims);
        expect(await crypto.verifyToken(other, NOW_MS)).toBeUndefined();
      }
    });

    test("what is no token of ours is nothing, and does not throw", async () => {
      const crypto = await make();
      const token = await crypto.signToken(CLAIMS);
      const [head = "", body = "", signature = ""] = token.split(".");
      const other = Buffer.from(JSON.stringify({ ...CLAIMS, sub: "system:serviceaccount:kube-system:admin" })).toString(
        "base64url",
      );
      for (const forged of [
        "",
        "a.b.c",
        `${head}.${body}.`,
        `${head}.${other}.${signature}`,
        `${head}.${body}.${signature}x`,
      ]) {
        expect(await crypto.verifyToken(forged, NOW_MS)).toBeUndefined();
      }
    });

    test("what is sealed opens with the same key and the same associated bytes only, and is never the same twice", async () => {
      const crypto = await make();
      const key = Buffer.alloc(32, 1);
      const [plaintext, associated] = [Buffer.from("canary"), Buffer.from("/registry/core/secrets/shop/token")];
      const sealed = crypto.seal(key, plaintext, associated);
      expect(crypto.open(key, sealed, associated)).toEqual(plaintext);
      expect(Buffer.from(sealed).includes("canary")).toBe(false);
      expect(crypto.seal(key, plaintext, associated)).not.toEqual(sealed);
      expect(crypto.open(Buffer.alloc(32, 2), sealed, associated)).toBeUndefined();
      expect(crypto.open(key, sealed, Buffer.from("/registry/core/secrets/shop/other"))).toBeUndefined();
      for (let at = 0; at < sealed.length; at++) {
        const flipped = Uint8Array.from(sealed, (byte, i) => (i === at ? byte ^ 1 : byte));
        expect(crypto.open(key, flipped, associated)).toBeUndefined();
        expect(crypto.open(key, sealed.subarray(0, at), associated)).toBeUndefined();
      }
      expect(() => crypto.seal(Buffer.alloc(31), plaintext, associated)).toThrow(RangeError);
    });

    test("the public keys are a JWKS document", async () => {
      const crypto = await make();
      expect(await crypto.jwks()).toMatchObject({ keys: expect.any(Array) as unknown });
    });
  });
}
