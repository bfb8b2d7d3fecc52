/** The cluster's identities: two authorities, and a certificate for each process. Decides what is missing or near its end, then makes it. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expiryMs, issueCertificate, type KeyPair, type LeafRequest } from "@pilothouse/pki";
import { bringAuthorities, readAuthority, type AuthorityName } from "../machine/authorities.ts";
import { CLUSTER_DOMAIN, KUBERNETES_SERVICE_IP, type ClusterChoices, type Layout } from "./layout.ts";

type Leaf = Omit<LeafRequest, "validDays" | "nowMs"> & { readonly name: string; readonly authority: AuthorityName };

const LEAF_DAYS = 365;
/** A certificate with less than a third of its life left is made anew at `up`. */
const RENEW_BEFORE_MS = (LEAF_DAYS / 3) * 86_400_000;

/** Users of the API, each with a kubeconfig of its own. */
export const API_USERS = ["admin", "scheduler", "controller-manager", "kubelet", "proxy", "dns"] as const;

/** Writes `<pki>/<name>.crt` and `.key` for every identity that is missing or near its end, the token signing key, and the key of Secrets at rest. */
export async function ensureCertificates(layout: Layout, choices: ClusterChoices, nowMs: number): Promise<void> {
  await bringAuthorities(layout.pki, "exist", { nowMs });
  for (const leaf of leaves(choices)) {
    const known = read(layout, leaf.name);
    if (known && expiryMs(known.certificatePem) - nowMs > RENEW_BEFORE_MS) continue;
    const authority = readAuthority(layout.pki, leaf.authority);
    write(layout, leaf.name, await issueCertificate(authority, { ...leaf, validDays: LEAF_DAYS, nowMs }));
  }
}

/** All certificates of a one-node cluster. */
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

function read(layout: Layout, name: string): KeyPair | undefined {
  const [certificate, key] = [join(layout.pki, `${name}.crt`), join(layout.pki, `${name}.key`)];
  if (!existsSync(certificate) || !existsSync(key)) return undefined;
  return { certificatePem: readFileSync(certificate, "utf8"), privateKeyPem: readFileSync(key, "utf8") };
}

function write(layout: Layout, name: string, pair: KeyPair): void {
  writeFileSync(join(layout.pki, `${name}.key`), pair.privateKeyPem, { mode: 0o600 });
  writeFileSync(join(layout.pki, `${name}.crt`), pair.certificatePem, { mode: 0o644 });
}
