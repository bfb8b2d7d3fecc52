/**
 * Certificates: an authority that issues client and server certificates (ECDSA P-256), for keys it makes or for the keys of
 * requests (PKCS #10), and a look into existing ones (facts.ts).
 *
 * Promises: PEM in, PEM out; serial numbers of 128 random bits; a certificate never outlives its authority.
 * Does not promise: revocation. Certificates are short instead, and renewed.
 */
import { createPublicKey, webcrypto } from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { requestFacts } from "./facts.ts";
import type { LeafRequest } from "./leaf.ts";

export type { LeafRequest } from "./leaf.ts";

export { expiryMs } from "./bundle.ts";

export interface KeyPair {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

export interface AuthorityRequest {
  readonly commonName: string;
  readonly validDays: number;
  readonly nowMs: number;
  /** A key that is already there; without it one is made. */
  readonly privateKeyPem?: string;
}

const KEY: webcrypto.EcKeyGenParams & webcrypto.EcdsaParams = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;
const MIN_RSA_BITS = 2048;
/** A clock that runs a little ahead elsewhere must not refuse a certificate made just now. */
const BACKDATE_MS = 5 * 60_000;

/** Makes a self-signed authority. */
export async function createAuthority(request: AuthorityRequest): Promise<KeyPair> {
  const keys = await (request.privateKeyPem === undefined ? newKeys() : importKeyPair(request.privateKeyPem));
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
  const keys = await newKeys();
  const certificatePem = await issueFor(authority, keys.publicKey, request);
  return { certificatePem, privateKeyPem: await privateKeyPem(keys) };
}

/** A private key, as PEM (PKCS #8). */
export async function createPrivateKey(): Promise<string> {
  return privateKeyPem(await newKeys());
}

/** A request for a certificate (PKCS #10, PEM) by the holder of `privateKeyPem`: its subject and names are what it would like. */
export async function createCertificateRequest(
  privateKeyText: string,
  wish: Omit<LeafRequest, "validDays" | "nowMs">,
): Promise<string> {
  const names = alternativeNames(wish);
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    {
      name: subject(wish),
      keys: await importKeyPair(privateKeyText),
      signingAlgorithm: KEY,
      extensions: names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : [],
    },
    webcrypto,
  );
  return `${request.toString("pem")}\n`;
}

/**
 * Issues a certificate for the key of a request. What the certificate says comes from `leaf` alone. Throws if the request is not
 * one, is not signed by its own key, or the key is neither of an elliptic curve nor RSA of 2,048 bits and more.
 */
export async function signCertificateRequest(authority: KeyPair, csrPem: string, leaf: LeafRequest): Promise<string> {
  requestFacts(csrPem);
  const { publicKey } = new x509.Pkcs10CertificateRequest(csrPem);
  const { asymmetricKeyType, asymmetricKeyDetails } = createPublicKey(publicKey.toString("pem"));
  const isStrong = asymmetricKeyType === "ec" || (asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS;
  if (!isStrong) throw new Error("the request's key must be of an elliptic curve, or RSA of at least 2048 bits");
  return issueFor(authority, await publicKey.export(webcrypto), leaf);
}

async function issueFor(authority: KeyPair, publicKey: webcrypto.CryptoKey, request: LeafRequest): Promise<string> {
  const issuer = new x509.X509Certificate(authority.certificatePem);
  const signingKey = await importPrivateKey(authority.privateKeyPem);
  const { notBefore, notAfter } = validity(request);
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: randomSerial(),
      subject: subject(request),
      issuer: issuer.subjectName,
      notBefore,
      notAfter: notAfter > issuer.notAfter ? issuer.notAfter : notAfter,
      publicKey,
      signingKey,
      signingAlgorithm: KEY,
      extensions: await leafExtensions(request, publicKey, issuer),
    },
    webcrypto,
  );
  return pem(certificate);
}

async function leafExtensions(
  request: LeafRequest,
  publicKey: webcrypto.CryptoKey,
  issuer: x509.X509Certificate,
): Promise<x509.Extension[]> {
  const usage = { client: x509.ExtendedKeyUsage.clientAuth, server: x509.ExtendedKeyUsage.serverAuth } as const;
  const names = alternativeNames(request);
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension(request.usages.map((name) => usage[name])),
    await x509.SubjectKeyIdentifierExtension.create(publicKey, false, webcrypto),
    await x509.AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
    ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
  ];
}

function subject({ organizations = [], commonName }: Pick<LeafRequest, "organizations" | "commonName">) {
  return [...organizations.map((name) => ({ O: [name] })), { CN: [commonName] }];
}

function alternativeNames({ dnsNames = [], ipAddresses = [] }: Pick<LeafRequest, "dnsNames" | "ipAddresses">) {
  const names: x509.JsonGeneralNames = [
    ...dnsNames.map((value) => ({ type: "dns" as const, value })),
    ...ipAddresses.map((value) => ({ type: "ip" as const, value })),
  ];
  return names;
}

/** A life of a few minutes is not backdated by more than itself: it would be old when it is new. */
function validity({ nowMs, validDays }: { nowMs: number; validDays: number }): { notBefore: Date; notAfter: Date } {
  const lifeMs = validDays * DAY_MS;
  return { notBefore: new Date(nowMs - Math.min(BACKDATE_MS, lifeMs)), notAfter: new Date(nowMs + lifeMs) };
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

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"]);
}

async function importKeyPair(text: string): Promise<webcrypto.CryptoKeyPair> {
  const spki = createPublicKey(text).export({ type: "spki", format: "der" });
  const der = x509.PemConverter.decodeFirst(text);
  return {
    privateKey: await webcrypto.subtle.importKey("pkcs8", der, KEY, true, ["sign"]),
    publicKey: await webcrypto.subtle.importKey("spki", spki, KEY, true, ["verify"]),
  };
}

function importPrivateKey(text: string): Promise<webcrypto.CryptoKey> {
  const der = x509.PemConverter.decodeFirst(text);
  return webcrypto.subtle.importKey("pkcs8", der, KEY, false, ["sign"]);
}
