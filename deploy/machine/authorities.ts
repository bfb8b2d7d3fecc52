/** The files of the cluster's two authorities, the key that signs ServiceAccount tokens, and the key of Secrets at rest. */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createAuthority, createPrivateKey, type KeyPair } from "@pilothouse/pki";
import { certificateKeyId, certificatesOf, keyId } from "@pilothouse/pki/facts";
import { nextStep, phaseOf, type AuthorityState, type AuthorityStep, type Goal, type Phase } from "./authority-plan.ts";
import { readIfThere, removeDurably, renameDurably, writeDurably } from "./durable-files.ts";

/** `cluster-ca` is the API's; the backbone (etcd, NATS) has an authority of its own: an API user is nobody there. */
export const AUTHORITIES = ["cluster-ca", "backbone-ca"] as const;
export type AuthorityName = (typeof AUTHORITIES)[number];

const AUTHORITY_DAYS = 3650;

export interface AuthoritiesReport {
  readonly changed: boolean;
  readonly phases: Readonly<Record<AuthorityName, Phase>>;
  /** What to trust, the certificate that signs now first. */
  readonly bundles: Readonly<Record<AuthorityName, string>>;
  /** All files of the directory: what every master must hold, and nothing else. */
  readonly files: readonly string[];
}

/** Whatever `bringAuthorities` needs besides the directory. `beforeStep` is told each step before it is taken. */
export interface AuthorityOptions {
  readonly nowMs: number;
  readonly beforeStep?: (what: string) => void;
}

/** Leads the authorities of `directory` to `goal`, and makes what is missing beside them. What is there is never made anew. */
export async function bringAuthorities(
  directory: string,
  goal: Goal,
  { nowMs, beforeStep = () => undefined }: AuthorityOptions,
): Promise<AuthoritiesReport> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  let changed = false;
  for (const name of AUTHORITIES) {
    for (let step = nextStep(name, readState(directory, name), goal); step !== undefined;) {
      beforeStep(`${name}: ${step}`);
      await take(step, directory, name, nowMs);
      changed = true;
      step = nextStep(name, readState(directory, name), goal);
    }
  }
  for (const [file, make] of [
    ["service-account.key", tokenKey],
    ["encryption.yaml", encryptionConfig],
  ] as const) {
    if (existsSync(join(directory, file))) continue;
    beforeStep(file);
    writeDurably(join(directory, file), make(), 0o600);
    changed = true;
  }
  const each = <T>(of: (name: AuthorityName) => T): Record<AuthorityName, T> => ({
    "cluster-ca": of("cluster-ca"),
    "backbone-ca": of("backbone-ca"),
  });
  return {
    changed,
    phases: each((name) => phaseOf(readState(directory, name))),
    bundles: each((name) => bundleOf(directory, name)),
    files: readdirSync(directory).filter((file) => !file.startsWith(".")),
  };
}

/** The pair that signs. Throws if it is not there, or its halves do not belong together. */
export function readAuthority(directory: string, name: AuthorityName): KeyPair {
  const [certificatePem, privateKeyPem] = [".crt", ".key"].map((end) => readIfThere(join(directory, `${name}${end}`)));
  if (certificatePem === undefined || privateKeyPem === undefined)
    throw new Error(`${directory} has not both ${name}.crt and ${name}.key`);
  if (certificateKeyId(certificatePem) !== keyId(privateKeyPem))
    throw new Error(`${name}.key is not the key of ${name}.crt in ${directory}`);
  return { certificatePem, privateKeyPem };
}

async function take(step: AuthorityStep, directory: string, name: AuthorityName, nowMs: number): Promise<void> {
  const path = (file: string): string => join(directory, `${name}${file}`);
  const makeCertificate = async (base: string, commonName: string): Promise<void> => {
    const privateKeyPem = readIfThere(path(`${base}.key`)) as string;
    const made = await createAuthority({ commonName, validDays: AUTHORITY_DAYS, nowMs, privateKeyPem });
    writeDurably(path(`${base}.crt`), made.certificatePem, 0o644);
  };
  switch (step) {
    case "create key":
      return writeDurably(path(".key"), await createPrivateKey(), 0o600);
    case "create certificate":
      return makeCertificate("", `pilothouse-${name}`);
    case "create next key":
      return writeDurably(path("-next.key"), await createPrivateKey(), 0o600);
    case "create next certificate": // a name of its own: who looks an issuer up by its name must find one only
      return makeCertificate("-next", `pilothouse-${name}@${Math.floor(nowMs / 1000)}`);
    case "keep certificate as previous":
      return writeDurably(path("-previous.crt"), readIfThere(path(".crt")) as string, 0o644);
    case "promote key":
      return renameDurably(path("-next.key"), path(".key"));
    case "promote certificate":
      return renameDurably(path("-next.crt"), path(".crt"));
    case "remove previous certificate":
      return removeDurably(path("-previous.crt"));
  }
}

function readState(directory: string, name: AuthorityName): AuthorityState {
  const read = (file: string): string | undefined => readIfThere(join(directory, `${name}${file}`));
  const idOf = (pem: string | undefined): string | undefined => pem && certificateKeyId(pem);
  const keyOf = (pem: string | undefined): string | undefined => pem && keyId(pem);
  return {
    certificate: idOf(read(".crt")),
    key: keyOf(read(".key")),
    nextCertificate: idOf(read("-next.crt")),
    nextKey: keyOf(read("-next.key")),
    previousCertificate: idOf(read("-previous.crt")),
  };
}

function bundleOf(directory: string, name: AuthorityName): string {
  const pems = [".crt", "-next.crt", "-previous.crt"].map((file) => readIfThere(join(directory, `${name}${file}`)));
  return [...new Set(pems.flatMap((pem) => (pem === undefined ? [] : certificatesOf(pem))))].join("");
}

/** Service account tokens are signed with RS256: the verifiers in the field accept little else. */
function tokenKey(): string {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return privateKey.export({ type: "pkcs8", format: "pem" }) as string;
}

/** Secrets are encrypted in etcd; those written before there was a key stay readable. Without this file they are lost. */
function encryptionConfig(): string {
  return `# How Secrets lie in etcd. The first key writes, all read. Keep this file: without it Secrets cannot be read.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - aesgcm:
          keys:
            - name: key1
              secret: ${randomBytes(32).toString("base64")}
      - identity: {}
`;
}
