import { generateKeyPairSync } from "node:crypto";
import { expect, it } from "vitest";
import { nodeCrypto } from "./index.ts";

const pem = (): string =>
  generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" }).toString();

it("signs tokens that it verifies until they expire, and nobody else's", async () => {
  const mine = await nodeCrypto({ privateKeyPem: pem() });
  const other = await nodeCrypto({ privateKeyPem: pem() });
  const claims = { iss: "i", sub: "s", aud: ["a"], iat: 1_000, nbf: 1_000, exp: 2_000 };
  const token = await mine.signToken(claims);
  expect(await mine.verifyToken(token, 1_500_000)).toMatchObject(claims);
  expect(await mine.verifyToken(token, 2_100_000)).toBeUndefined();
  expect(await other.verifyToken(token, 1_500_000)).toBeUndefined();
  expect(await mine.verifyToken("nonsense", 1_500_000)).toBeUndefined();
  expect(mine.sha256Hex("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});
