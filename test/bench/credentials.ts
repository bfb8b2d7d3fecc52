/** Certificates of a day for the servers and the client of a benchmark, as files. */
import { generateKeyPairSync } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@pilothouse/clock/system";
import { createAuthority, issueCertificate } from "@pilothouse/pki";
import type { Target } from "./client.ts";

export interface Credentials {
  readonly caFile: string;
  readonly serverCert: string;
  readonly serverKey: string;
  readonly tokenKey: string;
  /** How an administrator reaches a server on this port of loopback. */
  target(port: number): Promise<Target>;
}

export async function makeCredentials(directory: string): Promise<Credentials> {
  const nowMs = systemClock.now();
  const ca = await createAuthority({ commonName: "bench", validDays: 1, nowMs });
  const names = { ipAddresses: ["127.0.0.1"], usages: ["client", "server"] as const, validDays: 1, nowMs };
  const server = await issueCertificate(ca, { ...names, commonName: "apiserver" });
  const admin = await issueCertificate(ca, { ...names, commonName: "admin", organizations: ["system:masters"] });
  const token = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text, { mode: 0o600 });
    return join(directory, name);
  };
  const caFile = await file("ca.crt", ca.certificatePem);
  return {
    caFile,
    serverCert: await file("server.crt", server.certificatePem),
    serverKey: await file("server.key", server.privateKeyPem),
    tokenKey: await file("sa.key", token.export({ type: "pkcs8", format: "pem" }).toString()),
    target: async (port) => ({
      host: "127.0.0.1",
      port,
      ca: await readFile(caFile, "utf8"),
      cert: admin.certificatePem,
      key: admin.privateKeyPem,
    }),
  };
}
