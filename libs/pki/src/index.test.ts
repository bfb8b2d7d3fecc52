import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { createAuthority, expiryMs, issueCertificate } from "./index.ts";

const nowMs = Date.UTC(2026, 0, 1);

test("an authority issues a certificate that names its holder and verifies under it", async () => {
  const authority = await createAuthority({ commonName: "cluster-ca", validDays: 3650, nowMs });
  const leaf = await issueCertificate(authority, {
    commonName: "system:node:worker-1",
    organizations: ["system:nodes"],
    dnsNames: ["worker-1"],
    ipAddresses: ["198.51.100.7"],
    usages: ["client", "server"],
    validDays: 365,
    nowMs,
  });
  const ca = new X509Certificate(authority.certificatePem);
  const certificate = new X509Certificate(leaf.certificatePem);
  expect(ca.ca).toBe(true);
  expect(certificate.ca).toBe(false);
  expect(certificate.verify(ca.publicKey)).toBe(true);
  expect(certificate.checkIssued(ca)).toBe(true);
  expect(certificate.subject).toBe("O=system:nodes\nCN=system:node:worker-1");
  expect(certificate.checkHost("worker-1")).toBe("worker-1");
  expect(certificate.checkIP("198.51.100.7")).toBe("198.51.100.7");
  expect(expiryMs(leaf.certificatePem)).toBe(nowMs + 365 * 86_400_000);
});

test("a certificate never outlives its authority", async () => {
  const authority = await createAuthority({ commonName: "short-ca", validDays: 1, nowMs });
  const leaf = await issueCertificate(authority, { commonName: "x", usages: ["client"], validDays: 30, nowMs });
  expect(expiryMs(leaf.certificatePem)).toBe(expiryMs(authority.certificatePem));
});
