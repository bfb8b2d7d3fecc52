/**
 * Certificates of seconds, replaced under an apiserver that serves: every leg speaks TLS (clients, etcd, NATS), a client writes,
 * reads and watches all along, and nobody restarts anything.
 */
import { X509Certificate } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { Agent, request as httpsRequest } from "node:https";
import { join } from "node:path";
import { connect } from "node:tls";
import type { ConfigMap } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient } from "@pilothouse/client";
import { sleep } from "@pilothouse/clock";
import { seededRandom } from "@pilothouse/clock/seeded";
import { systemClock } from "@pilothouse/clock/system";
import { Scope } from "@pilothouse/lifecycle";
import { createAuthority, issueCertificate, type KeyPair } from "@pilothouse/pki";
import { certificatesIn, expiryMs } from "@pilothouse/pki/bundle";
import { openApi } from "@pilothouse/process/api-access";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildService } from "../../../deploy/commands/build.ts";
import { apiserverProcess, type Apiserver } from "../../../test/harness/apiserver.ts";
import { makeCredentials } from "../../../test/harness/credentials.ts";
import {
  expectNoLeaks,
  freePorts,
  makeTestDirectory,
  removeTestDirectory,
  startEtcd,
  startNats,
  tcpProxy,
  until,
  type Nats,
  type TcpProxy,
} from "../../../test/harness/index.ts";

const IDENTITIES = ["etcd", "nats", "backbone-client", "serving", "admin"] as const;
type Identity = (typeof IDENTITIES)[number];

const DAY_S = 86_400;
/** Long enough for a busy machine to notice files, which takes it a tenth of a second at rest. */
const SHORT_LIFE_S = 12;

const opened: (() => Promise<unknown>)[] = [];
let directory: string;
let authority: KeyPair;
let backbone: KeyPair;
let nats: Nats;
let natsMonitorPort: number;
let toEtcd: TcpProxy;
let toNats: TcpProxy;
let apiserver: Apiserver;
let healthPort: number;
let client: ApiClient;
/** Of this test's own client. */
const telemetry = memoryTelemetry({ clock: systemClock, random: seededRandom("certificates") });

beforeAll(async () => {
  directory = await makeTestDirectory();
  opened.push(() => removeTestDirectory(directory));
  authority = await newAuthority("cluster");
  backbone = await newAuthority("backbone");
  await replace("cluster-ca.crt", authority.certificatePem);
  await replace("backbone-ca.crt", backbone.certificatePem);
  const identities = await renew(DAY_S);
  await startBackbone();
  await startApiserver(identities.admin);
  await startClient();
});

afterAll(async () => {
  for (const close of opened.toReversed()) await close();
  await expectNoLeaks();
});

test("certificates end and are replaced, twice over, and no request and no change of a watch is lost", async () => {
  await until("NATS is reached", async () => (await natsConnections()) === 1);
  const load = startLoad("renewal");
  await load.progress(20);
  const short = await renew(SHORT_LIFE_S);
  await until("the short certificate is served", async () => (await servedSerial()) === serialOf(short.serving));
  const kept = keptConnection(short.admin, authority);
  expect(await kept.status()).toBe(200);
  const connectionsToEtcd = toEtcd.accepted();
  const connectionsToNats = toNats.accepted();

  // At two thirds of their life, as whoever renews them does.
  await until("two thirds of a life are over", () => isOver(short, 2 / 3), SHORT_LIFE_S * 1_000);
  const long = await renew(DAY_S);
  await until("the long certificate is served", async () => (await servedSerial()) === serialOf(long.serving));
  await until("etcd is reached anew", () => toEtcd.accepted() > connectionsToEtcd);
  await until("NATS is reached anew", () => toNats.accepted() > connectionsToNats);
  for (const name of ["serving", "etcd-client", "nats-client"])
    await until(`the metric of ${name} says when it ends`, async () => (await expiryS(name)) > nowS() + DAY_S / 2);

  await until("the short certificates have ended", () => isOver(short, 1), SHORT_LIFE_S * 1_000);
  expect(await kept.status()).toBe(401);
  kept.close();
  await load.progress(20);
  expect(await load.end()).toEqual({ failures: [], unseen: [], doubled: [] });

  // What has ended is in no use: were it, these connections could not be made again.
  for (const proxy of [toEtcd, toNats]) proxy.cut();
  const afterwards = startLoad("afterwards");
  await afterwards.progress(20);
  expect((await afterwards.end()).unseen).toEqual([]);
  await until("NATS is reached again", async () => (await natsConnections()) === 1);
  expect(toNats.accepted(), "connections to NATS, refused ones too").toBe(connectionsToNats + 2);
  expect(await apiserver.output()).not.toContain('"level":"error"');
});

test("an authority is replaced: both, then leaves of the new one, then the new one alone", async () => {
  const old = await issue("admin", authority, DAY_S);
  const next = await newAuthority("cluster-2");
  const load = startLoad("authority");
  await load.progress(10);
  const kept = keptConnection(old, next);

  await replace("cluster-ca.crt", authority.certificatePem + next.certificatePem);
  await until("both are trusted", async () => (await statusOf(await issue("admin", next, DAY_S), authority)) === 200);
  const published = async (): Promise<readonly string[]> => {
    const map = await client.get<ConfigMap>(resources.configMaps, "kube-system", "extension-apiserver-authentication");
    return certificatesIn(map.data?.["client-ca-file"] ?? "").map((pem) => new X509Certificate(pem).subject);
  };
  await until("both are published", async () => (await published()).length === 2);
  expect(await published()).toEqual(["CN=cluster", "CN=cluster-2"]);

  const [serving, admin] = await Promise.all([issue("serving", next, DAY_S), issue("admin", next, DAY_S)]);
  await put("serving", serving);
  await put("admin", admin);
  await until("the new authority's is served", async () => (await servedSerial()) === serialOf(serving));
  expect(await kept.status()).toBe(200);
  await load.progress(10);

  await replace("cluster-ca.crt", next.certificatePem);
  await until("the old authority is refused", async () => (await statusOf(old, next)) === 401);
  expect(await kept.status()).toBe(401);
  kept.close();
  await load.progress(10);
  expect(await load.end()).toEqual({ failures: [], unseen: [], doubled: [] });
  authority = next;
});

test("a key that is not the certificate's changes nothing until the right one comes", async () => {
  const before = await servedSerial();
  const pair = await issue("serving", authority, DAY_S);
  await replace("serving/tls.crt", pair.certificatePem);
  await until("it is told", async () => (await apiserver.output()).includes("the key is not the certificate's"));
  expect(await servedSerial()).toBe(before);
  await replace("serving/tls.key", pair.privateKeyPem);
  await until("the new one is served", async () => (await servedSerial()) === serialOf(pair));
});

async function startBackbone(): Promise<void> {
  const files = (identity: Identity) => ({
    caFile: join(directory, "backbone-ca.crt"),
    certFile: join(directory, identity, "tls.crt"),
    keyFile: join(directory, identity, "tls.key"),
  });
  const etcd = await startEtcd({ tls: files("etcd") });
  opened.push(() => etcd.stop());
  const { caFile, certFile, keyFile } = files("nats");
  const config = `tls { cert_file: "${certFile}", key_file: "${keyFile}", ca_file: "${caFile}", verify: true }`;
  [natsMonitorPort] = (await freePorts(1)) as [number];
  nats = await startNats({ config, flags: [`--http_port=${natsMonitorPort}`] });
  opened.push(() => nats.stop());
  [toEtcd, toNats] = await Promise.all([tcpProxy(etcd.port), tcpProxy(nats.port)]);
  opened.push(() => Promise.all([toEtcd.close(), toNats.close()]));
}

async function startApiserver(admin: KeyPair): Promise<void> {
  const dist = join(directory, "dist");
  await buildService("apiserver", dist);
  const [port, health] = (await freePorts(2)) as [number, number];
  healthPort = health;
  const path = (name: string): string => join(directory, name);
  const backboneFlags = ["etcd", "nats"].flatMap((server) => [
    `--${server}-ca-file=${path("backbone-ca.crt")}`,
    `--${server}-cert-file=${path("backbone-client/tls.crt")}`,
    `--${server}-key-file=${path("backbone-client/tls.key")}`,
  ]);
  apiserver = await apiserverProcess({
    name: "a",
    port,
    etcdServers: [`https://${toEtcd.address}`],
    natsServers: [toNats.address],
    credentials: {
      ...(await makeCredentials(directory)),
      caFile: path("cluster-ca.crt"),
      serverCert: path("serving/tls.crt"),
      serverKey: path("serving/tls.key"),
      ca: authority.certificatePem,
      admin,
    },
    dist,
    directory,
    flags: [...backboneFlags, `--health-port=${healthPort}`],
  });
  opened.push(() => apiserver.stop());
  apiserver.start();
  await apiserver.untilReady();
}

/** As every process of ours has it: a kubeconfig that names files. */
async function startClient(): Promise<void> {
  const scope = new Scope("test", (_task, error) => {
    throw error;
  });
  opened.push(() => scope.close());
  const kubeconfig = join(directory, "kubeconfig");
  await writeFile(
    kubeconfig,
    JSON.stringify({
      "current-context": "c",
      contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      clusters: [
        {
          name: "c",
          cluster: { server: `https://127.0.0.1:${apiserver.port}`, "certificate-authority": "cluster-ca.crt" },
        },
      ],
      users: [{ name: "u", user: { "client-certificate": "admin/tls.crt", "client-key": "admin/tls.key" } }],
    }),
  );
  client = openApi("test", { kubeconfig, "api-servers": [] }, { clock: systemClock, scope, telemetry });
}

interface Load {
  /** Resolves when so many more objects have been written, read and seen. */
  progress(objects: number): Promise<void>;
  end(): Promise<{ failures: unknown[]; unseen: string[]; doubled: string[] }>;
}

/** Writes and reads one object after the other, and watches them, resuming whenever a watch ends as watches do. */
function startLoad(prefix: string): Load {
  const abort = new AbortController();
  const { signal } = abort;
  const failures: unknown[] = [];
  const written: string[] = [];
  const seen: string[] = [];
  const noting = (error: unknown): void => void (signal.aborted || failures.push(error));
  const labels = { load: prefix };
  // Before anything is written: what the list has, the watch does not tell.
  const listed = client.list(resources.configMaps, "default", {});
  const write = async (): Promise<void> => {
    await listed;
    for (let i = 0; !signal.aborted; i++) {
      const name = `${prefix}-${i}`;
      await client.create(resources.configMaps, { metadata: { name, namespace: "default", labels } });
      written.push(name);
      await client.get(resources.configMaps, "default", name);
      await sleep(systemClock, 20);
    }
  };
  const watch = async (): Promise<void> => {
    let { resourceVersion } = await listed;
    while (!signal.aborted) {
      const options = { resourceVersion, labelSelector: `load=${prefix}`, signal };
      for await (const event of client.watch(resources.configMaps, "default", options)) {
        if (event.type === "BOOKMARK") resourceVersion = event.resourceVersion;
        else {
          resourceVersion = event.object.metadata.resourceVersion ?? "";
          seen.push(event.object.metadata.name ?? "");
        }
      }
    }
  };
  const watching = watch().catch(noting);
  const writing = write().catch(noting);
  return {
    async progress(objects) {
      const wanted = written.length + objects;
      await until(`${objects} more objects`, () => failures.length > 0 || seen.length >= wanted, 30_000);
    },
    async end() {
      await until("all is seen", () => failures.length > 0 || seen.length >= written.length);
      abort.abort();
      await Promise.all([watching, writing]);
      const seenOnce = new Set(seen);
      return {
        failures,
        unseen: written.slice(0, -1).filter((name) => !seenOnce.has(name)),
        doubled: seen.filter((name, i) => seen.indexOf(name) !== i),
      };
    },
  };
}

function newAuthority(commonName: string): Promise<KeyPair> {
  return createAuthority({ commonName, validDays: 1, nowMs: systemClock.now() });
}

function issue(identity: Identity, issuer: KeyPair, lifeS: number): Promise<KeyPair> {
  return issueCertificate(issuer, {
    commonName: identity,
    organizations: identity === "admin" ? ["system:masters"] : [],
    ipAddresses: ["127.0.0.1"],
    // The name that nats.js expects of a server that it reaches by address.
    dnsNames: ["localhost"],
    usages: ["client", "server"],
    validDays: lifeS / DAY_S,
    nowMs: systemClock.now(),
  });
}

/** New certificates for all, as files; NATS is told, as it must be. */
async function renew(lifeS: number): Promise<Readonly<Record<Identity, KeyPair>>> {
  const pairs = {} as Record<Identity, KeyPair>;
  for (const identity of IDENTITIES) {
    const issuer = identity === "serving" || identity === "admin" ? authority : backbone;
    pairs[identity] = await issue(identity, issuer, lifeS);
    await put(identity, pairs[identity]);
  }
  if (nats as Nats | undefined) process.kill(nats.pid(), "SIGHUP");
  return pairs;
}

async function put(identity: Identity, { certificatePem, privateKeyPem }: KeyPair): Promise<void> {
  await mkdir(join(directory, identity), { recursive: true });
  await replace(`${identity}/tls.crt`, certificatePem);
  await replace(`${identity}/tls.key`, privateKeyPem);
}

async function replace(name: string, text: string): Promise<void> {
  const path = join(directory, name);
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

function isOver(pairs: Readonly<Record<Identity, KeyPair>>, share: number): boolean {
  const ends = IDENTITIES.map((identity) => expiryMs(pairs[identity].certificatePem));
  return systemClock.now() > Math.max(...ends) - (1 - share) * SHORT_LIFE_S * 1_000;
}

function serialOf({ certificatePem }: KeyPair): string {
  return new X509Certificate(certificatePem).serialNumber;
}

function servedSerial(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: apiserver.port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()?.serialNumber ?? "");
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

/** One connection of this identity for all that is asked over it. */
function keptConnection(
  identity: KeyPair,
  ...trusted: readonly KeyPair[]
): { status(): Promise<number>; close(): void } {
  const { certificatePem: cert, privateKeyPem: key } = identity;
  const ca = [authority, ...trusted].map(({ certificatePem }) => certificatePem);
  const agent = new Agent({ keepAlive: true, maxSockets: 1, cert, key, ca });
  const ports = new Set<number | undefined>();
  return {
    status: () =>
      new Promise((resolve, reject) => {
        const options = { host: "127.0.0.1", port: apiserver.port, path: "/api/v1/namespaces", agent };
        const request = httpsRequest(options, (response) => {
          ports.add(response.socket.localPort);
          response.resume();
          response.once("end", () => {
            if (ports.size === 1) resolve(response.statusCode ?? 0);
            else reject(new Error("the connection was not kept"));
          });
        });
        request.once("error", reject);
        request.end();
      }),
    close: () => agent.destroy(),
  };
}

async function statusOf(identity: KeyPair, ...trusted: readonly KeyPair[]): Promise<number> {
  const connection = keptConnection(identity, ...trusted);
  try {
    return await connection.status();
  } finally {
    connection.close();
  }
}

/** Clients that NATS has let in. */
async function natsConnections(): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${natsMonitorPort}/connz`);
  return ((await answer.json()) as { num_connections: number }).num_connections;
}

function nowS(): number {
  return systemClock.now() / 1_000;
}

async function expiryS(name: string): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${healthPort}/metrics`)).text();
  const line = metrics
    .split("\n")
    .find(
      (it) =>
        it.startsWith("pilothouse_certificate_expiry_seconds{") && it.includes(`name="${name}",part="certificate"`),
    );
  return Number(line?.split(" ").at(-1));
}
