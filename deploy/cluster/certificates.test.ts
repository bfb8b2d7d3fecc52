import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parseEncryptionConfig } from "../../services/apiserver/src/core/stored/encryption-config.ts";
import { ensureCertificates } from "./certificates.ts";
import { DEFAULT_PORTS, layoutOf } from "./layout.ts";

const root = mkdtempSync(join(tmpdir(), "ph-certificates-"));
afterAll(() => rmSync(root, { recursive: true }));

test("what is secret is for its owner alone, is made once, and Secrets are encrypted by a key of their own", async () => {
  const layout = layoutOf(root, root);
  const choices = { isolated: true, nodeName: "n", nodeIp: "198.51.100.1", ports: DEFAULT_PORTS, sysctlsBefore: {} };
  await ensureCertificates(layout, choices, Date.UTC(2026, 0, 1));
  const modeOf = (file: string): string => (statSync(join(layout.pki, file)).mode & 0o777).toString(8);
  const open = readdirSync(layout.pki).filter((file) => modeOf(file) !== "600");
  expect(open.filter((file) => !file.endsWith(".crt"))).toEqual([]);
  expect((statSync(layout.pki).mode & 0o777).toString(8)).toBe("700");

  const text = (): string => readFileSync(join(layout.pki, "encryption.yaml"), "utf8");
  const [rule, ...others] = parseEncryptionConfig(text());
  expect(others).toEqual([]);
  expect(rule?.prefix).toBe("/registry/core/secrets/");
  expect(rule?.providers.map(({ type }) => type)).toEqual(["aesgcm", "identity"]);
  const before = text();
  await ensureCertificates(layout, choices, Date.UTC(2026, 0, 1));
  expect(text()).toBe(before);
});
