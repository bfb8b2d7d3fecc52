/** `certificates renew` on a machine without authorities: a real apiserver approves and signs, by a real controller-manager. */
import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createApiClient, resources, type ApiClient } from "@pilothouse/client";
import { httpsTransport } from "@pilothouse/client/https";
import { systemClock } from "@pilothouse/clock/system";
import { createCertificateRequest, createPrivateKey, issueCertificate } from "@pilothouse/pki";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  expectNoLeaks,
  freePorts,
  makeTestDirectory,
  removeTestDirectory,
  startEtcd,
  startNats,
  startProcess,
  until,
  type Etcd,
  type Nats,
  type TestProcess,
} from "../../test/harness/index.ts";
import { bringAuthorities, readAuthority } from "./authorities.ts";

const ROOT = join(import.meta.dirname, "../..");
const NODE = join(ROOT, "node_modules/.bin/node");

let directory: string;
let authorities: string;
let server: string;
let etcd: Etcd;
let nats: Nats;
let admin: ApiClient;
const processes: TestProcess[] = [];

const file = (name: string): string => join(directory, name);

async function client(name: string, commonName: string, organizations: readonly string[] = []): Promise<ApiClient> {
  const identity = { commonName, organizations, ipAddresses: ["127.0.0.1"], usages: ["client", "server"] as const };
  const authority = readAuthority(authorities, "cluster-ca");
  const made = await issueCertificate(authority, { ...identity, validDays: 1, nowMs: systemClock.now() });
  await writeFile(file(`${name}.crt`), made.certificatePem);
  await writeFile(file(`${name}.key`), made.privateKeyPem);
  const credentials = { clientCertificate: made.certificatePem, clientKey: made.privateKeyPem };
  const transport = httpsTransport({ server, ca: authority.certificatePem, clock: systemClock, ...credentials });
  return createApiClient({ transports: [transport], userAgent: name });
}

async function kubeconfig(name: string): Promise<string> {
  const user = { "client-certificate": `${name}.crt`, "client-key": `${name}.key` };
  const config = {
    clusters: [{ name: "c", cluster: { server, "certificate-authority": "authorities/cluster-ca.crt" } }],
    users: [{ name: "u", user }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  };
  await writeFile(file(`${name}.conf`), JSON.stringify(config));
  return file(`${name}.conf`);
}

async function service(name: string, args: readonly string[]): Promise<void> {
  const home = file(name);
  await mkdir(home);
  const main = join(ROOT, "services", name, "src/main.ts");
  processes.push(startProcess({ command: NODE, args: [main, ...args], directory: home }));
}

beforeAll(async () => {
  directory = await makeTestDirectory();
  authorities = file("authorities");
  await bringAuthorities(authorities, "exist", { nowMs: systemClock.now() });
  [etcd, nats] = await Promise.all([startEtcd(), startNats()]);
  const [port, healthPort] = (await freePorts(2)) as [number, number];
  server = `https://127.0.0.1:${port}`;
  await client("apiserver-server", "kube-apiserver");
  admin = await client("admin", "admin", ["system:masters"]);
  const backbone = [`--etcd-servers=${etcd.endpoint}`, `--nats-servers=${nats.endpoint}`];
  await service("apiserver", [
    "--name=master-1",
    "--bind-address=127.0.0.1",
    "--advertise-address=198.51.100.11",
    `--secure-port=${port}`,
    `--tls-cert-file=${file("apiserver-server.crt")}`,
    `--tls-private-key-file=${file("apiserver-server.key")}`,
    `--client-ca-file=${join(authorities, "cluster-ca.crt")}`,
    `--service-account-key-file=${join(authorities, "service-account.key")}`,
    ...backbone,
  ]);
  await until("the apiserver answers", () => admin.raw("GET", "/readyz").then(Boolean, () => false), 30_000);
  await client("controller-manager-client", "system:kube-controller-manager");
  await service("controller-manager", [
    `--kubeconfig=${await kubeconfig("controller-manager-client")}`,
    `--root-ca-file=${join(authorities, "cluster-ca.crt")}`,
    `--health-port=${healthPort}`,
    ...["cluster", "backbone"].flatMap((name) => [
      `--${name}-signing-cert-file=${join(authorities, `${name}-ca.crt`)}`,
      `--${name}-signing-key-file=${join(authorities, `${name}-ca.key`)}`,
    ]),
    ...backbone,
  ]);
});

afterAll(async () => {
  for (const process of processes) {
    process.signal("SIGKILL");
    await process.ended;
  }
  await Promise.all([etcd.stop(), nats.stop()]);
  await removeTestDirectory(directory);
  await expectNoLeaks();
});

it("a worker's renewal gets every certificate of its machine, each from its own authority", async () => {
  const node = await admin.create(resources.nodes, { metadata: { name: "worker-1" }, spec: {} });
  const addresses = [{ type: "InternalIP", address: "198.51.100.21" }];
  await admin.update(resources.nodes, { ...node, status: { addresses } }, { subresource: "status" });
  await client("kubelet", "system:node:worker-1", ["system:nodes"]);
  const home = await mkdtemp(file("worker-"));
  const plan = {
    directory: join(home, "pki"),
    clusterCaBundle: join(authorities, "cluster-ca.crt"),
    backboneCaBundle: join(authorities, "backbone-ca.crt"),
    kubeconfig: await kubeconfig("kubelet"),
    lifetimeMinutes: 60,
    identities: [
      node1("kubelet", "system:node:worker-1", "client", { organizations: ["system:nodes"] }),
      node1("kubelet-server", "system:node:worker-1", "server", {
        organizations: ["system:nodes"],
        dnsNames: ["localhost", "worker-1"],
        ipAddresses: ["127.0.0.1", "198.51.100.21"],
      }),
      node1("proxy", "system:kube-proxy", "client"),
      node1("dns", "system:dns", "client"),
      node1("kubelet-backbone", "kubelet:worker-1", "client", { authority: "backbone-ca" }),
    ],
  };
  const config = join(home, "certificates.json");
  await writeFile(config, JSON.stringify(plan));
  const renewed = await certificates("renew", config);
  expect(renewed.said).toContain("kubelet-server: replaced");
  expect(renewed).toMatchObject({ code: 0, answer: { changed: true } });
  for (const { name, authority, commonName } of plan.identities) {
    const certificate = new X509Certificate(await readFile(join(plan.directory, name, "tls.crt")));
    const issuer = new X509Certificate(await readFile(join(authorities, `${authority}.crt`)));
    expect([name, certificate.verify(issuer.publicKey)]).toEqual([name, true]);
    expect(certificate.subject.split("\n").at(-1)).toBe(`CN=${commonName}`);
    const lifeMinutes = (certificate.validToDate.getTime() - certificate.validFromDate.getTime()) / 60_000;
    expect(lifeMinutes).toBe(65);
  }
  expect(await certificates("renew", config)).toMatchObject({ code: 0, answer: { changed: false, installed: [] } });
  expect(await certificates("status", config)).toMatchObject({ code: 0 });
  await rm(home, { recursive: true });
});

it("a node that asks for another node's name is not approved, by whatever signer", async () => {
  const kubelet = await client("kubelet", "system:node:worker-1", ["system:nodes"]);
  const ask = async (
    name: string,
    signerName: string,
    commonName: string,
    more: object = {},
    organizations = ["system:nodes"],
  ) => {
    const usage = signerName.endsWith("serving") ? "server" : "client";
    const wish = { commonName, organizations, usages: [usage] as const, ...more };
    const csr = await createCertificateRequest(await createPrivateKey(), wish);
    const spec = {
      request: Buffer.from(csr).toString("base64"),
      signerName,
      usages: ["digital signature", `${usage} auth`],
    };
    return kubelet.create(resources.certificateSigningRequests, { metadata: { name }, spec });
  };
  const made = await ask("other-client", "kubernetes.io/kube-apiserver-client-kubelet", "system:node:worker-2");
  expect(made.spec).toMatchObject({
    username: "system:node:worker-1",
    groups: ["system:nodes", "system:authenticated"],
  });
  const serving = "kubernetes.io/kubelet-serving";
  await ask("other-serving", serving, "system:node:worker-2", { dnsNames: ["worker-2"] });
  await ask("other-address", serving, "system:node:worker-1", { ipAddresses: ["198.51.100.11"] });
  await ask("other-agent", "pilothouse.io/node-agent", "kubelet:worker-2", {}, []);
  await ask("admin", "pilothouse.io/node-agent", "kubernetes-admin", {}, ["system:masters"]);
  // What comes last and is well shows that the others were looked at.
  await ask("own", "kubernetes.io/kube-apiserver-client-kubelet", "system:node:worker-1");
  const of = (name: string) => admin.get(resources.certificateSigningRequests, "", name);
  await until("its own is issued", async () => (await of("own")).status?.certificate !== undefined);
  for (const name of ["other-client", "other-serving", "other-address", "other-agent", "admin"])
    expect([name, (await of(name)).status]).toEqual([name, {}]);
  // Nor may it approve itself.
  const approved = { ...made, status: { conditions: [{ type: "Approved", status: "True" }] } };
  const approving = kubelet.update(resources.certificateSigningRequests, approved, { subresource: "approval" });
  await expect(approving).rejects.toThrow(/cannot update resource "certificatesigningrequests\/approval"/);
});

function node1(name: string, commonName: string, usage: string, more: object = {}) {
  return { name, authority: "cluster-ca", commonName, usages: [usage], ...more };
}

async function certificates(
  command: string,
  config: string,
): Promise<{ code: number | null; answer: unknown; said: string }> {
  const child = spawn(NODE, [join(ROOT, "deploy/machine/certificates.ts"), command, "--config", config]);
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const)
    child[stream].setEncoding("utf8").on("data", (text: string) => void (output[stream] += text));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, answer: output.stdout === "" ? output.stderr : JSON.parse(output.stdout), said: output.stderr };
}
