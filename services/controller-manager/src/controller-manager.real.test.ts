/** Two controller-managers as processes, on a real etcd, NATS and apiserver: rights, fence and takeover as users will have them. */
import { generateKeyPairSync } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createApiClient, resources, type ApiClient } from "@pilothouse/client";
import { httpsTransport } from "@pilothouse/client/https";
import { systemClock } from "@pilothouse/clock/system";
import { createAuthority, issueCertificate } from "@pilothouse/pki";
import { afterAll, beforeAll, expect, it } from "vitest";
import { expectNoLeaks, freePorts, makeTestDirectory, removeTestDirectory } from "../../../test/harness/index.ts";
import { startEtcd, startNats, startProcess, until } from "../../../test/harness/index.ts";
import type { Etcd, Nats, TestProcess } from "../../../test/harness/index.ts";

const ROOT = join(import.meta.dirname, "../../..");
const NODE = join(ROOT, "node_modules/.bin/node");

let directory: string;
let etcd: Etcd;
let nats: Nats;
let admin: ApiClient;
let apiserver: TestProcess;
const managers: TestProcess[] = [];
const healthPorts: number[] = [];

beforeAll(async () => {
  directory = await makeTestDirectory();
  [etcd, nats] = await Promise.all([startEtcd(), startNats()]);
  const nowMs = systemClock.now();
  const ca = await createAuthority({ commonName: "test", validDays: 1, nowMs });
  const certificate = async (name: string, commonName: string, organizations: readonly string[] = []) => {
    const names = { commonName, organizations, ipAddresses: ["127.0.0.1"] };
    const leaf = await issueCertificate(ca, { ...names, usages: ["client", "server"], validDays: 1, nowMs });
    await writeFile(join(directory, `${name}.crt`), leaf.certificatePem);
    await writeFile(join(directory, `${name}.key`), leaf.privateKeyPem);
    return leaf;
  };
  await writeFile(join(directory, "ca.crt"), ca.certificatePem);
  const signer = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  await writeFile(join(directory, "sa.key"), signer.export({ type: "pkcs8", format: "pem" }).toString());
  await certificate("apiserver", "apiserver");
  await certificate("controller-manager", "system:kube-controller-manager");
  const { certificatePem, privateKeyPem } = await certificate("admin", "admin", ["system:masters"]);

  const [port, ...ports] = (await freePorts(3)) as [number, number, number];
  healthPorts.push(...ports);
  const server = `https://127.0.0.1:${port}`;
  const backbone = [`--etcd-servers=${etcd.endpoint}`, `--nats-servers=${nats.endpoint}`];
  apiserver = await service("apiserver", "apiserver", [
    "--name=master-1",
    "--bind-address=127.0.0.1",
    "--advertise-address=198.51.100.11",
    `--secure-port=${port}`,
    `--tls-cert-file=${join(directory, "apiserver.crt")}`,
    `--tls-private-key-file=${join(directory, "apiserver.key")}`,
    `--client-ca-file=${join(directory, "ca.crt")}`,
    `--service-account-key-file=${join(directory, "sa.key")}`,
    ...backbone,
  ]);
  const credentials = { clientCertificate: certificatePem, clientKey: privateKeyPem };
  const transport = httpsTransport({ server, ca: ca.certificatePem, clock: systemClock, ...credentials });
  admin = createApiClient({ transports: [transport], userAgent: "story" });
  await until("the apiserver answers", () => admin.raw("GET", "/readyz").then(Boolean, () => false), 30_000);
  const kubeconfig = join(directory, "controller-manager.conf");
  await writeFile(kubeconfig, kubeconfigOf(server));
  for (const [index, healthPort] of healthPorts.entries())
    managers.push(
      await service(`controller-manager-${index}`, "controller-manager", [
        `--kubeconfig=${kubeconfig}`,
        `--root-ca-file=${join(directory, "ca.crt")}`,
        `--service-account-private-key-file=${join(directory, "sa.key")}`,
        `--health-port=${healthPort}`,
        ...backbone,
      ]),
    );
  await until("one of them leads", async () => (await leader()) !== undefined, 30_000);
});

afterAll(async () => {
  for (const process of [...managers, apiserver]) {
    process.signal("SIGKILL");
    await process.ended;
  }
  await Promise.all([etcd.stop(), nats.stop()]);
  await removeTestDirectory(directory);
  await expectNoLeaks();
});

async function service(name: string, service: string, args: readonly string[]): Promise<TestProcess> {
  const home = join(directory, name);
  await mkdir(home);
  return startProcess({
    command: NODE,
    args: [join(ROOT, "services", service, "src/main.ts"), ...args],
    directory: home,
  });
}

/** YAML is a superset of JSON. */
function kubeconfigOf(server: string): string {
  return JSON.stringify({
    clusters: [{ name: "c", cluster: { server, "certificate-authority": "ca.crt" } }],
    users: [
      { name: "u", user: { "client-certificate": "controller-manager.crt", "client-key": "controller-manager.key" } },
    ],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  });
}

/** Whose log says so last. */
async function leader(): Promise<number | undefined> {
  for (const [index, manager] of managers.entries()) {
    const output = await manager.output();
    if (manager.running() && output.lastIndexOf('"leading"') > output.lastIndexOf("not leading")) return index;
  }
  return undefined;
}

it("keeps the house: addresses for nodes, accounts and trust for namespaces, an end for what has no owner", async () => {
  const isThere = (work: Promise<unknown>): Promise<boolean> => work.then(Boolean, () => false);
  await admin.create(resources.nodes, { metadata: { name: "n1" }, spec: {} });
  await admin.create(resources.namespaces, { metadata: { name: "shop" }, spec: {} });
  await until("the node has addresses", async () => {
    const { spec } = await admin.get(resources.nodes, "", "n1");
    return spec.podCIDR === "198.18.0.0/24";
  });
  await until("its account is there", () => isThere(admin.get(resources.serviceAccounts, "shop", "default")));
  await until("its trust is there", () => isThere(admin.get(resources.configMaps, "shop", "kube-root-ca.crt")));
  for (const propagationPolicy of ["Background", "Foreground"] as const) {
    const owner = await admin.create(resources.configMaps, { metadata: { name: "owner", namespace: "shop" } });
    const reference = { apiVersion: "v1", kind: "ConfigMap", name: "owner", uid: owner.metadata.uid ?? "" };
    const ownerReferences = [{ ...reference, blockOwnerDeletion: true }];
    await admin.create(resources.secrets, { metadata: { name: "owned", namespace: "shop", ownerReferences } });
    await admin.delete(resources.configMaps, "shop", "owner", { propagationPolicy });
    await until(`owner and owned are gone (${propagationPolicy})`, async () => {
      const owner = isThere(admin.get(resources.configMaps, "shop", "owner"));
      const owned = isThere(admin.get(resources.secrets, "shop", "owned"));
      return !(await owner) && !(await owned);
    });
  }
  await admin.delete(resources.namespaces, "", "shop");
  await until("the namespace is gone", async () => !(await isThere(admin.get(resources.namespaces, "", "shop"))));
});

it("gives a Secret its account's token, which is good until the account goes", async () => {
  const namespace = "default";
  await admin.create(resources.serviceAccounts, { metadata: { name: "bot", namespace } });
  const annotations = { "kubernetes.io/service-account.name": "bot" };
  const metadata = { name: "bot-token", namespace, annotations };
  await admin.create(resources.secrets, { metadata, type: "kubernetes.io/service-account-token" });
  const textOf = async (key: string): Promise<string> => {
    const { data } = await admin.get(resources.secrets, namespace, "bot-token");
    return Buffer.from(data?.[key] ?? "", "base64").toString();
  };
  await until("it has a token", async () => (await textOf("token")) !== "");
  expect(await textOf("ca.crt")).toContain("BEGIN CERTIFICATE");
  const token = await textOf("token");
  const user = async (): Promise<string | undefined> => {
    const { status } = await admin.create(resources.tokenReviews, { metadata: {}, spec: { token } });
    return status?.authenticated ? status.user?.username : undefined;
  };
  expect(await user()).toBe("system:serviceaccount:default:bot");
  await admin.delete(resources.serviceAccounts, namespace, "bot");
  expect(await user()).toBeUndefined();
  await until("it is gone", () =>
    admin.get(resources.secrets, namespace, "bot-token").then(
      () => false,
      () => true,
    ),
  );
});

it("keeps a Deployment's pods, also when the leader is killed", async () => {
  const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image: "web:1" }] } };
  await until("the default ServiceAccount is there", () =>
    admin.get(resources.serviceAccounts, "default", "default").then(Boolean, () => false),
  );
  await admin.create(resources.deployments, {
    metadata: { name: "web", namespace: "default" },
    spec: { replicas: 3, selector: { matchLabels: { app: "web" } }, template },
  });
  const pods = async (): Promise<number> => (await admin.list(resources.pods, "default")).items.length;
  await until("there are 3 pods", async () => (await pods()) === 3);
  await until("one says that it leads", async () => (await leader()) !== undefined);
  const first = await leader();
  managers[first as number]?.signal("SIGKILL");
  await managers[first as number]?.ended;
  const killedMs = systemClock.monotonicMs();
  const patch = { type: "application/merge-patch+json", body: { spec: { replicas: 5 } } } as const;
  await admin.patch(resources.deployments, "default", "web", patch);
  await until("there are 5 pods", async () => (await pods()) === 5, 30_000);
  expect(systemClock.monotonicMs() - killedMs).toBeLessThan(10_000);
  // Log lines wait for each other for a moment.
  await until("the other one says that it leads", async () => (await leader()) === 1 - (first as number));
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(await pods()).toBe(5);
});
