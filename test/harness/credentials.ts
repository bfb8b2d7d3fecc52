/** Certificates of a day for servers and clients on loopback, by our own PKI, as files. */
import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@pilothouse/clock/system";
import { createAuthority, issueCertificate, type KeyPair } from "@pilothouse/pki";

/** How to reach a server that asks for a client certificate. All PEM texts. */
export interface Target {
  readonly port: number;
  readonly host: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface Credentials {
  readonly caFile: string;
  readonly serverCert: string;
  readonly serverKey: string;
  readonly tokenKey: string;
  /** PEM of the authority. */
  readonly ca: string;
  /** A member of system:masters. */
  readonly admin: KeyPair;
  /** The client certificate of another user. */
  user(name: string, groups: readonly string[]): Promise<KeyPair>;
  /** How the administrator reaches a server on this port of loopback. */
  target(port: number): Target;
}

export async function makeCredentials(directory: string): Promise<Credentials> {
  const nowMs = systemClock.now();
  const authority = await createAuthority({ commonName: "test", validDays: 1, nowMs });
  const user = (commonName: string, organizations: readonly string[]): Promise<KeyPair> =>
    issueCertificate(authority, { commonName, organizations, usages: ["client"], validDays: 1, nowMs });
  const server = await issueCertificate(authority, {
    commonName: "apiserver",
    ipAddresses: ["127.0.0.1"],
    // The name that nats.js expects of a server that it knows by its address.
    dnsNames: ["localhost"],
    usages: ["client", "server"],
    validDays: 1,
    nowMs,
  });
  const admin = await user("admin", ["system:masters"]);
  const token = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text, { mode: 0o600 });
    return join(directory, name);
  };
  const ca = authority.certificatePem;
  return {
    caFile: await file("ca.crt", ca),
    serverCert: await file("server.crt", server.certificatePem),
    serverKey: await file("server.key", server.privateKeyPem),
    tokenKey: await file("sa.key", token.export({ type: "pkcs8", format: "pem" }).toString()),
    ca,
    admin,
    user,
    target: (port) => ({ host: "127.0.0.1", port, ca, cert: admin.certificatePem, key: admin.privateKeyPem }),
  };
}
