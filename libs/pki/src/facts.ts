/** What a certificate, a key or a request says, read from its PEM. */
import { X509Certificate, createHash, createPublicKey } from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { LeafRequest } from "./index.ts";

export interface CertificateFacts extends Required<Pick<LeafRequest, "commonName" | "organizations" | "dnsNames">> {
  readonly ipAddresses: readonly string[];
  readonly usages: LeafRequest["usages"];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** The id of its public key, see keyId. */
  readonly keyId: string;
}

/** Reads one certificate (the first of a bundle). Throws if the text is not one. */
export function certificateFacts(certificatePem: string): CertificateFacts {
  const certificate = new x509.X509Certificate(x509.PemConverter.decodeFirst(certificatePem));
  const usages = certificate.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [];
  const known = { client: x509.ExtendedKeyUsage.clientAuth, server: x509.ExtendedKeyUsage.serverAuth } as const;
  return {
    commonName: certificate.subjectName.getField("CN")[0] ?? "",
    organizations: certificate.subjectName.getField("O"),
    ...namesOf(certificate.getExtension(x509.SubjectAlternativeNameExtension)),
    usages: (["client", "server"] as const).filter((name) => usages.includes(known[name])),
    notBeforeMs: certificate.notBefore.getTime(),
    notAfterMs: certificate.notAfter.getTime(),
    keyId: idOf(Buffer.from(certificate.publicKey.rawData)),
  };
}

/** The id (SHA-256 of the public half, hex) of a private or public key. Throws if the text is not one. */
export function keyId(keyPem: string): string {
  return idOf(createPublicKey(keyPem).export({ type: "spki", format: "der" }));
}

/** Whether `authorityPem` (its first certificate) issued the certificate: names and signature, not time. */
export function isIssuedBy(certificatePem: string, authorityPem: string): boolean {
  const [certificate, authority] = [new X509Certificate(certificatePem), new X509Certificate(authorityPem)];
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

/** The certificates of a bundle, each as PEM. */
export function certificatesOf(bundlePem: string): readonly string[] {
  return x509.PemConverter.decode(bundlePem).map((der) => `${x509.PemConverter.encode(der, "CERTIFICATE")}\n`);
}

function namesOf(extension: x509.SubjectAlternativeNameExtension | null): {
  dnsNames: readonly string[];
  ipAddresses: readonly string[];
} {
  const names = extension?.names.items ?? [];
  const valuesOf = (type: string): string[] => names.filter((name) => name.type === type).map(({ value }) => value);
  return { dnsNames: valuesOf("dns"), ipAddresses: valuesOf("ip") };
}

function idOf(spki: Buffer): string {
  return createHash("sha256").update(spki).digest("hex");
}
