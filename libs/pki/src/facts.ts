/** What a certificate, a key or a request says, read from its PEM. */
import { X509Certificate, createHash, createPublicKey, createVerify } from "node:crypto";
import "reflect-metadata";
import { CertificationRequest } from "@peculiar/asn1-csr";
import { AsnConvert } from "@peculiar/asn1-schema";
import * as x509 from "@peculiar/x509";
import type { LeafRequest } from "./leaf.ts";

export interface CertificateFacts extends Required<Pick<LeafRequest, "commonName" | "organizations" | "dnsNames">> {
  readonly ipAddresses: readonly string[];
  readonly usages: LeafRequest["usages"];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** The id of its public key, see keyId. */
  readonly keyId: string;
}

const SUBJECT_ALTERNATIVE_NAME = "2.5.29.17";

/** What a request asks for. */
export interface RequestFacts extends Pick<
  CertificateFacts,
  "commonName" | "organizations" | "dnsNames" | "ipAddresses"
> {
  readonly emailAddresses: readonly string[];
  readonly uris: readonly string[];
}

/** Reads a request (PKCS #10). Throws if the text is not one, or is not signed by the key that it names. Synchronous. */
export function requestFacts(csrPem: string): RequestFacts {
  if (!/^\s*-----BEGIN CERTIFICATE REQUEST-----/m.test(csrPem))
    throw new Error("PEM block type must be CERTIFICATE REQUEST");
  const der = x509.PemConverter.decodeFirst(csrPem);
  const request = new x509.Pkcs10CertificateRequest(der);
  const { certificationRequestInfoRaw, signature } = AsnConvert.parse(der, CertificationRequest);
  const key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), type: "spki", format: "der" });
  const { hash } = request.signatureAlgorithm as { hash?: { name: string } };
  if (!hash) throw new Error("the request is signed by neither ECDSA nor RSA");
  const verifier = createVerify(hash.name.replace("-", "")).update(
    Buffer.from(certificationRequestInfoRaw as ArrayBuffer),
  );
  if (!verifier.verify(key, Buffer.from(signature)))
    throw new Error("the request is not signed by the key that it names");
  return {
    commonName: request.subjectName.getField("CN")[0] ?? "",
    organizations: request.subjectName.getField("O"),
    ...namesOf(request.getExtension(SUBJECT_ALTERNATIVE_NAME) as x509.SubjectAlternativeNameExtension | null),
  };
}

/** Reads one certificate (the first of a bundle). Throws if the text is not one. */
export function certificateFacts(certificatePem: string): CertificateFacts {
  const certificate = new x509.X509Certificate(x509.PemConverter.decodeFirst(certificatePem));
  const usages = certificate.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [];
  const { dnsNames, ipAddresses } = namesOf(certificate.getExtension(x509.SubjectAlternativeNameExtension));
  const known = { client: x509.ExtendedKeyUsage.clientAuth, server: x509.ExtendedKeyUsage.serverAuth } as const;
  return {
    commonName: certificate.subjectName.getField("CN")[0] ?? "",
    organizations: certificate.subjectName.getField("O"),
    dnsNames,
    ipAddresses,
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

/** The id of a certificate's key, without reading the rest. Throws if the text is not a certificate. */
export function certificateKeyId(certificatePem: string): string {
  return idOf(new X509Certificate(certificatePem).publicKey.export({ type: "spki", format: "der" }));
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

function namesOf(extension: x509.SubjectAlternativeNameExtension | null) {
  const names = extension?.names.items ?? [];
  const valuesOf = (type: string): string[] => names.filter((name) => name.type === type).map(({ value }) => value);
  return {
    dnsNames: valuesOf("dns"),
    ipAddresses: valuesOf("ip"),
    emailAddresses: valuesOf("email"),
    uris: valuesOf("url"),
  };
}

function idOf(spki: Buffer): string {
  return createHash("sha256").update(spki).digest("hex");
}
