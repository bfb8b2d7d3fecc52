/** The cluster's identities: two authorities, and a certificate for each process. Decides what is missing or near its end, then makes it. */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createAuthority, expiryMs, issueCertificate, type KeyPair, type LeafRequest } from "@pilothouse/pki";
import { CLUSTER_DOMAIN, KUBERNETES_SERVICE_IP, type ClusterChoices, type Layout } from "./layout.ts";

type AuthorityName = "cluster-ca" | "backbone-ca";
type Leaf = Omit<LeafRequest, "validDays" | "nowMs"> & { readonly name: string; readonly authority: AuthorityName };

const AUTHORITY_DAYS = 3650;
const LEAF_DAYS = 365;
/** A certificate with less than a third of its life left is made anew at `up`. */
const RENEW_BEFORE_MS = (LEAF_DAYS / 3) * 86_400_000;

/** Users of the API, each with a kubeconfig of its own. */
export const API_USERS = ["admin", "scheduler", "controller-manager", "kubelet", "proxy", "dns"] as const;

/** Writes `<pki>/<name>.crt` and `.key` for every identity that is missing or near its end, the token signing key, and the key of Secrets at rest. */
export async function ensureCertificates(layout: Layout, choices: ClusterChoices, nowMs: number): Promise<void> {
  mkdirSync(layout.pki, { recursive: true, mode: 0o700 });
  const authorities = new Map<AuthorityName, KeyPair>();
  for (const name of ["cluster-ca", "backbone-ca"] as const) {
    const known =
      read(layout, name) ??
      (await createAuthority({ commonName: `pilothouse-${name}`, validDays: AUTHORITY_DAYS, nowMs }));
    write(layout, name, known);
    authorities.set(name, known);
  }
  for (const leaf of leaves(choices)) {
    const known = read(layout, leaf.name);
    if (known && expiryMs(known.certificatePem) - nowMs > RENEW_BEFORE_MS) continue;
    const authority = authorities.get(leaf.authority) as KeyPair;
    write(layout, leaf.name, await issueCertificate(authority, { ...leaf, validDays: LEAF_DAYS, nowMs }));
  }
  ensureTokenKey(join(layout.pki, "service-account.key"));
  ensureEncryptionConfig(join(layout.pki, "encryption.yaml"));
}

/** All certificates of a one-node cluster. The backbone (etcd, NATS) has an authority of its own: an API user is nobody there. */
function leaves(choices: ClusterChoices): readonly Leaf[] {
  const local = { dnsNames: ["localhost", choices.nodeName], ipAddresses: ["127.0.0.1", choices.nodeIp] };
  const client = (name: string, commonName: string, ...organizations: string[]): Leaf => ({
    name,
    authority: "cluster-ca",
    commonName,
    organizations,
    usages: ["client"],
  });
  return [
    { name: "etcd", authority: "backbone-ca", commonName: "etcd", ...local, usages: ["server", "client"] },
    { name: "nats", authority: "backbone-ca", commonName: "nats", ...local, usages: ["server", "client"] },
    { name: "backbone-client", authority: "backbone-ca", commonName: "pilothouse", usages: ["client"] },
    {
      name: "apiserver",
      authority: "cluster-ca",
      commonName: "kube-apiserver",
      ...apiserverNames(choices),
      usages: ["server"],
    },
    client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "pilothouse:apiservers"),
    {
      name: "kubelet-server",
      authority: "cluster-ca",
      commonName: `system:node:${choices.nodeName}`,
      ...local,
      usages: ["server"],
    },
    client("admin", "kubernetes-admin", "system:masters"),
    client("scheduler", "system:kube-scheduler"),
    client("controller-manager", "system:kube-controller-manager"),
    client("kubelet", `system:node:${choices.nodeName}`, "system:nodes"),
    client("proxy", "system:kube-proxy"),
    client("dns", "system:dns"),
  ];
}

/** What in-cluster and outside clients call the API server (upstream's list of names). */
function apiserverNames(choices: ClusterChoices): { dnsNames: string[]; ipAddresses: string[] } {
  const service = "kubernetes.default.svc";
  return {
    dnsNames: [
      "localhost",
      choices.nodeName,
      "kubernetes",
      "kubernetes.default",
      service,
      `${service}.${CLUSTER_DOMAIN}`,
    ],
    ipAddresses: ["127.0.0.1", choices.nodeIp, KUBERNETES_SERVICE_IP],
  };
}

/** A kubeconfig with everything embedded; `server` like `https://127.0.0.1:6443`. */
export function writeKubeconfig(layout: Layout, user: string, server: string, path: string): void {
  const base64 = (file: string): string => readFileSync(join(layout.pki, file)).toString("base64");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "pilothouse", cluster: { server, "certificate-authority-data": base64("cluster-ca.crt") } }],
    users: [
      {
        name: user,
        user: { "client-certificate-data": base64(`${user}.crt`), "client-key-data": base64(`${user}.key`) },
      },
    ],
    contexts: [{ name: "pilothouse", context: { cluster: "pilothouse", user } }],
    "current-context": "pilothouse",
  };
  writeFileSync(path, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 });
}

/** Service account tokens are signed with RS256: the verifiers in the field accept little else. */
function ensureTokenKey(path: string): void {
  if (existsSync(path)) return;
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(path, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
}

/** Secrets are encrypted in etcd; those written before there was a key stay readable. Without this file they are lost. */
function ensureEncryptionConfig(path: string): void {
  if (existsSync(path)) return;
  const text = `# How Secrets lie in etcd. The first key writes, all read. Keep this file: without it Secrets cannot be read.
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
  writeFileSync(path, text, { mode: 0o600 });
}

function read(layout: Layout, name: string): KeyPair | undefined {
  const [certificate, key] = [join(layout.pki, `${name}.crt`), join(layout.pki, `${name}.key`)];
  if (!existsSync(certificate) || !existsSync(key)) return undefined;
  return { certificatePem: readFileSync(certificate, "utf8"), privateKeyPem: readFileSync(key, "utf8") };
}

function write(layout: Layout, name: string, pair: KeyPair): void {
  writeFileSync(join(layout.pki, `${name}.key`), pair.privateKeyPem, { mode: 0o600 });
  writeFileSync(join(layout.pki, `${name}.crt`), pair.certificatePem, { mode: 0o644 });
}
