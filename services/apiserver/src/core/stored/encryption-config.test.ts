import { expect, test } from "vitest";
import { EncryptionConfigInvalid, parseEncryptionConfig } from "./encryption-config.ts";

const secret = Buffer.alloc(32, 7);

function config(resources: string): string {
  return `kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n${resources}`;
}

test("upstream's file gives one rule for each resource, in its order", () => {
  const text = config(`
  - resources: [secrets, "deployments.apps", "*.batch", "*."]
    providers:
      - aesgcm:
          keys:
            - {name: key1, secret: ${secret.toString("base64")}}
      - identity: {}
  - resources: ["*.*"]
    providers: [{identity: {}}]
`);
  const providers = [{ type: "aesgcm", keys: [{ name: "key1", secret }] }, { type: "identity" }];
  expect(parseEncryptionConfig(text)).toEqual([
    { prefix: "/registry/core/secrets/", providers },
    { prefix: "/registry/apps/deployments/", providers },
    { prefix: "/registry/batch/", providers },
    { prefix: "/registry/core/", providers },
    { prefix: "/registry/", providers: [{ type: "identity" }] },
  ]);
});

const aesgcm = (keys: string): string => config(`  - {resources: [secrets], providers: [{aesgcm: {keys: [${keys}]}}]}`);

test.each([
  ["not: a configuration", "kind: must be EncryptionConfiguration"],
  ["'quoted canary", "not valid YAML"],
  [config("  - {resources: [secrets], providers: []}"), "resources[0].providers: Required value"],
  [config("  - {resources: [], providers: [{identity: {}}]}"), "resources[0].resources: Required value"],
  [config("  - {resources: [a/b], providers: [{identity: {}}]}"), "resources[0].resources[0]: Invalid value"],
  [config("  - {resources: [secrets], providers: [{kms: {}}]}"), 'supported values: "aesgcm", "identity"'],
  [config("  - {resources: [secrets], providers: [{identity: {}, aesgcm: {}}]}"), "exactly one provider"],
  [aesgcm("{name: a, secret: Y2FuYXJ5}"), "must be 16, 24, 32 bytes in base64, not 6"],
  [aesgcm('{name: "a:b", secret: Y2FuYXJ5}'), 'keys[0].name: Invalid value: must be a text without ":"'],
  [aesgcm(""), "aesgcm.keys: Required value"],
])("says what is wrong, and no key: %s", (text, problem) => {
  const parse = (): unknown => parseEncryptionConfig(text);
  expect(parse).toThrow(EncryptionConfigInvalid);
  expect(parse).toThrow(problem);
  expect(parse).not.toThrow(/canary|Y2FuYXJ5/);
});
