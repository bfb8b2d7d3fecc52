/**
 * Certificates: an authority that issues client and server certificates (ECDSA P-256), and a look into existing ones.
 *
 * Promises: PEM in, PEM out; serial numbers of 128 random bits; a certificate never outlives its authority.
 * Does not promise: revocation. Certificates are short instead, and renewed.
 */
import { X509Certificate, webcrypto } from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

export interface KeyPair {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

export interface AuthorityRequest {
  readonly commonName: string;
  readonly validDays: number;
  readonly nowMs: number;
}

export interface LeafRequest {
  /** The user name, for a client certificate. */
  readonly commonName: string;
  /** The groups, for a client certificate. */
  readonly organizations?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly usages: readonly ("client" | "server")[];
  readonly validDays: number;
  readonly nowMs: number;
}

const KEY: webcrypto.EcKeyGenParams & webcrypto.EcdsaParams = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;
/** A clock that runs a little ahead elsewhere must not refuse a certificate made just now. */
const BACKDATE_MS = 5 * 60_000;

/** Makes a self-signed authority. */
export async function createAuthority(request: AuthorityRequest): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: randomSerial(),
      name: [{ CN: [request.commonName] }],
      ...validity(request),
      keys,
      signingAlgorithm: KEY,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature,
          true,
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { certificatePem: pem(certificate), privateKeyPem: await privateKeyPem(keys) };
}

/** Issues a certificate under `authority`, its end cut to the authority's. */
export async function issueCertificate(authority: KeyPair, request: LeafRequest): Promise<KeyPair> {
  const issuer = new x509.X509Certificate(authority.certificatePem);
  const signingKey = await importPrivateKey(authority.privateKeyPem);
  const keys = await webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"]);
  const { notBefore, notAfter } = validity(request);
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: randomSerial(),
      subject: [...(request.organizations ?? []).map((name) => ({ O: [name] })), { CN: [request.commonName] }],
      issuer: issuer.subjectName,
      notBefore,
      notAfter: notAfter > issuer.notAfter ? issuer.notAfter : notAfter,
      publicKey: keys.publicKey,
      signingKey,
      signingAlgorithm: KEY,
      extensions: await leafExtensions(request, keys.publicKey, issuer),
    },
    webcrypto,
  );
  return { certificatePem: pem(certificate), privateKeyPem: await privateKeyPem(keys) };
}

/** Milliseconds since the epoch at which the certificate ends. */
export function expiryMs(certificatePem: string): number {
  return new X509Certificate(certificatePem).validToDate.getTime();
}

async function leafExtensions(
  request: LeafRequest,
  publicKey: webcrypto.CryptoKey,
  issuer: x509.X509Certificate,
): Promise<x509.Extension[]> {
  const usage = { client: x509.ExtendedKeyUsage.clientAuth, server: x509.ExtendedKeyUsage.serverAuth } as const;
  const names: x509.JsonGeneralNames = [
    ...(request.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
    ...(request.ipAddresses ?? []).map((value) => ({ type: "ip" as const, value })),
  ];
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension(request.usages.map((name) => usage[name])),
    await x509.SubjectKeyIdentifierExtension.create(publicKey, false, webcrypto),
    await x509.AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
    ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
  ];
}

function validity({ nowMs, validDays }: { nowMs: number; validDays: number }): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(nowMs - BACKDATE_MS), notAfter: new Date(nowMs + validDays * DAY_MS) };
}

function randomSerial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0] as number) & 0x7f; // a serial number is a positive integer
  return Buffer.from(bytes).toString("hex");
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

async function privateKeyPem(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const der = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return `${x509.PemConverter.encode(der, "PRIVATE KEY")}\n`;
}

function importPrivateKey(text: string): Promise<webcrypto.CryptoKey> {
  const der = x509.PemConverter.decodeFirst(text);
  return webcrypto.subtle.importKey("pkcs8", der, KEY, false, ["sign"]);
}
