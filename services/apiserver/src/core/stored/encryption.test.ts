import { memoryCrypto } from "@pilothouse/crypto/memory";
import { expect, test } from "vitest";
import { openValue, ruleFor, sealValue, type EncryptionProvider, type EncryptionRule } from "./encryption.ts";

const crypto = memoryCrypto();
const KEY = "/registry/core/secrets/shop/token";
const value = Buffer.from("canary");
const one = { name: "one", secret: Buffer.alloc(32, 1) };
const two = { name: "two", secret: Buffer.alloc(32, 2) };
const identity: EncryptionProvider = { type: "identity" };

function rule(...providers: readonly EncryptionProvider[]): EncryptionRule {
  return { prefix: "/registry/core/secrets/", providers };
}

function aesgcm(...keys: readonly (typeof one)[]): EncryptionProvider {
  return { type: "aesgcm", keys };
}

test("a sealed value names its key and holds nothing readable, and opens under its own etcd key only", () => {
  const sealed = sealValue(crypto, rule(aesgcm(one)), KEY, value);
  expect(Buffer.from(sealed).toString("latin1")).toMatch(/^k8s:enc:aesgcm:v1:one:/);
  expect(Buffer.from(sealed).includes("canary")).toBe(false);
  expect(openValue(crypto, rule(aesgcm(one)), KEY, sealed)).toEqual({ value, outdated: false });
  expect(openValue(crypto, rule(aesgcm(one)), `${KEY}2`, sealed)).toEqual({
    problem: "cipher: message authentication failed",
  });
});

const byOne = sealValue(crypto, rule(aesgcm(one)), KEY, value);
const byTwo = sealValue(crypto, rule(aesgcm(two)), KEY, value);
const current = { value, outdated: false };
const outdated = { value, outdated: true };
const noPrefix = { problem: "no matching prefix found" };

test.each([
  ["plain, not encrypting yet", [identity], value, current],
  ["plain, encrypting from now on", [aesgcm(one), identity], value, outdated],
  ["plain, when only encrypted values are allowed", [aesgcm(one)], value, noPrefix],
  ["the new key, while all only learn to read it", [aesgcm(one, two)], byTwo, outdated],
  ["the old key, after the new one writes", [aesgcm(two, one)], byOne, outdated],
  ["the new key, after it writes", [aesgcm(two, one)], byTwo, current],
  ["the old key, dropped too early", [aesgcm(two)], byOne, noPrefix],
  ["the old key, in a provider of its own", [aesgcm(two), aesgcm(one)], byOne, outdated],
  ["encrypted, giving encryption up", [identity, aesgcm(one)], byOne, outdated],
  ["encrypted, without a key", [identity], byOne, noPrefix],
  [
    "another secret under the same name",
    [aesgcm({ ...one, secret: two.secret })],
    byOne,
    { problem: "cipher: message authentication failed" },
  ],
] as const)("reads, as the providers have it: %s", (_, providers, stored, expected) => {
  expect(openValue(crypto, rule(...providers), KEY, stored)).toEqual(expected);
});

test("who gives encryption up writes plain", () => {
  expect(sealValue(crypto, rule(identity, aesgcm(one)), KEY, value)).toBe(value);
});

test("the first rule that fits a key counts", () => {
  const [secrets, all] = [rule(aesgcm(one)), { prefix: "/registry/", providers: [identity] }];
  expect(ruleFor([secrets, all], KEY)).toBe(secrets);
  expect(ruleFor([all, secrets], KEY)).toBe(all);
  expect(ruleFor([secrets], "/registry/core/configmaps/shop/a")).toBeUndefined();
});
