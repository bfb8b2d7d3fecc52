/** `pilot` as its user runs it, against a cluster whose parts want certificates: three etcd members, two NATS servers, an apiserver. */
import { mkdirSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Bus } from "@pilothouse/bus";
import { natsBus } from "@pilothouse/bus-nats";
import { createApiClient, resources, type Transport } from "@pilothouse/client";
import { httpsTransport } from "@pilothouse/client/https";
import { sleep, type Clock } from "@pilothouse/clock";
import { systemClock, systemRandom } from "@pilothouse/clock/system";
import { electionKey } from "@pilothouse/election";
import { Scope } from "@pilothouse/lifecycle";
import type { KeyPair } from "@pilothouse/pki";
import { etcdStore } from "@pilothouse/store-etcd";
import { span } from "@pilothouse/telemetry";
import { otelTelemetry } from "@pilothouse/telemetry/otel";
import { afterAll, beforeAll, expect, test } from "vitest";
import { apiserverProcess, type Apiserver } from "../../test/harness/apiserver.ts";
import { makeCredentials, type Credentials } from "../../test/harness/credentials.ts";
import {
  expectNoLeaks,
  freePorts,
  makeTestDirectory,
  removeTestDirectory,
  startEtcdCluster,
  startNats,
  startProcess,
  until,
  type Etcd,
  type Nats,
  type TestProcess,
} from "../../test/harness/index.ts";
import { buildService } from "../commands/build.ts";

const PILOT = join(import.meta.dirname, "../pilot");
const NODE = "worker-1";
/** How far the clock of the machine that we play is ahead. */
const AHEAD_MS = 3_500;

let directory: string;
let cluster: Credentials;
let backbone: Credentials;
let etcd: Etcd[];
let nats: Nats[];
let apiserver: Apiserver;
let transport: Transport;
let kubeconfig: string;
let player: { readonly scope: Scope; readonly bus: Bus };

beforeAll(async () => {
  directory = await makeTestDirectory();
  [cluster, backbone] = await Promise.all(
    ["cluster", "backbone"].map(async (name) => {
      await mkdir(join(directory, name));
      return makeCredentials(join(directory, name));
    }) as [Promise<Credentials>, Promise<Credentials>],
  );
  const tls = { caFile: backbone.caFile, certFile: backbone.serverCert, keyFile: backbone.serverKey };
  const dist = join(directory, "dist");
  [etcd, nats] = await Promise.all([startEtcdCluster(3, { tls }), startNatsPair(), buildService("apiserver", dist)]);
  const [port = 0] = await freePorts(1);
  const natsServers = nats.map(({ endpoint }) => endpoint);
  apiserver = await apiserverProcess({
    name: "master-1",
    port,
    etcdServers: etcd.map(({ endpoint }) => endpoint),
    natsServers,
    credentials: cluster,
    dist,
    directory,
    flags: ["etcd", "nats"].flatMap((server) => [
      `--${server}-ca-file=${backbone.caFile}`,
      `--${server}-cert-file=${backbone.serverCert}`,
      `--${server}-key-file=${backbone.serverKey}`,
    ]),
  });
  apiserver.start();
  await apiserver.untilReady();
  transport = httpsTransport({
    server: `https://127.0.0.1:${port}`,
    ca: cluster.ca,
    clientCertificate: cluster.admin.certificatePem,
    clientKey: cluster.admin.privateKeyPem,
    clock: systemClock,
  });
  await Promise.all([beginWithLeaders(), registerNode(port)]);
  kubeconfig = await writeKubeconfig(port);
  const scope = new Scope("player", () => undefined);
  const own = await backbone.user("controller-manager", []);
  const bus = natsBus({
    servers: natsServers,
    name: "player",
    tls: { ca: backbone.ca, certificate: own.certificatePem, key: own.privateKeyPem },
    onError: () => undefined,
  });
  player = { scope, bus };
  await until("the player is on the bus", () => bus.connected());
});

afterAll(async () => {
  await player.scope.close();
  await player.bus.close();
  await transport.close();
  await apiserver.kill();
  await Promise.all([...etcd, ...nats].map((server) => server.stop()));
  await removeTestDirectory(directory);
  await expectNoLeaks();
});

test("status tells of every part, and for programs too", async () => {
  const { parts, well } = JSON.parse((await pilot("status", "-o", "json")).text) as StatusTold;
  expect(parts.filter((part) => !part.well && part.name !== `machine ${NODE}`)).toEqual([]);
  const named = new Map(parts.map((part) => [part.name, part.what]));
  expect(named.get("etcd has a quorum")).toMatch(/^3 of 3 members answer, m\d leads; 1 more can be lost$/);
  for (const name of ["m0", "m1", "m2"])
    expect(named.get(`etcd ${name}`)).toMatch(/revision \d+, certificate for 2\d hours/);
  for (const name of ["nats-1", "nats-2"])
    expect(named.get(`nats ${name}`)).toMatch(/^answers, v2\..*certificate for 2\d hours/);
  expect(named.get(`apiserver 127.0.0.1:${apiserver.port}`)).toMatch(/^ready, v1\.36.*certificate for 2\d hours/);
  expect(named.get("scheduler")).toBe("master-3 leads since 2026-01-02T03:04:05Z");
  expect(named.get("certificates")).toMatch(/^6 seen/);
  // Nobody runs a kubelet here: the only part that is unwell.
  expect(named.get(`machine ${NODE}`)).toMatch(
    /^Ready since .*, edge, v1\.36\.0, 127\.0\.0\.1, kubelet: .*ECONNREFUSED/,
  );
  expect(well).toBe(false);
});

test("what is dead, and what is silent, is told of while the rest answers", async () => {
  await nats[0]?.kill();
  etcd[2]?.pause();
  try {
    const { text, code } = await pilot("status");
    expect(code).toBe(1);
    expect(text).toMatch(/✔ etcd has a quorum {8}2 of 3 members answer/);
    expect(text).toMatch(/✘ etcd m2 .*\n {6}try: on m2: journalctl -u pilothouse-etcd/);
    expect(text).toMatch(/✘ nats 127\.0\.0\.1:\d+ .*ECONNREFUSED/);
    expect(text).toMatch(/✔ nats nats-2 /);
    expect(text).toMatch(/✔ scheduler /);
  } finally {
    etcd[2]?.resume();
    await nats[0]?.start();
  }
});

test("a trace over two machines with different clocks reads on one", async () => {
  await until("the player is on the bus", () => player.bus.connected());
  const telemetry = await machineWithClock("master-2", { ...systemClock, now: () => systemClock.now() + AHEAD_MS });
  const api = createApiClient({ transports: [transport], userAgent: "player" });
  const metadata = { name: "traced", namespace: "default" };
  await span(telemetry.tracer, "create the map", { kind: "client" }, async ({ context }) => {
    await api.create(resources.configMaps, { metadata }, { trace: context });
  });
  let text = "";
  // Until the server that was away has its route to the other again, not everybody is heard.
  await until(
    "both machines are heard",
    async () => {
      ({ text } = await pilot("trace", "show", "configmap/traced"));
      return text.includes("on 2 machines");
    },
    30_000,
  );
  const lines = text.split("\n");
  expect(lines[0]).toMatch(/spans in 2 processes on 2 machines/);
  expect(lines[1]).toMatch(/^clock of \S+ [+-]3\.\d+ s$/);
  expect(Math.abs(Number(/ [+-](3\.\d+) s/.exec(lines[1] ?? "")?.[1]) * 1_000 - AHEAD_MS)).toBeLessThan(500);
  expect(lines[2]).toMatch(/^controller-manager@master-2 +create the map +\+0\.0 ms/);
  expect(lines[3]).toMatch(/^apiserver@\S+ +.*create.* default\/traced/);
});

test("the tail goes on when the server that it listens at dies, whichever it is", async () => {
  const telemetry = await machineWithClock("master-2", systemClock);
  const tail = runPilot("trace", "tail", "--machine", "master-2");
  const hears = async (name: string): Promise<void> => {
    await until(
      `the tail has ${name}`,
      async () => {
        telemetry.tracer.start(name).end();
        await sleep(systemClock, 100);
        return (await tail.output()).includes(`controller-manager@master-2`) && (await tail.output()).includes(name);
      },
      30_000,
    );
  };
  await hears("all is well");
  await nats[0]?.kill();
  await hears("without the first");
  await nats[0]?.start();
  await nats[1]?.kill();
  await hears("without the second");
  await nats[1]?.start();
  expect(await tail.output()).toMatch(/NATS is gone; looking for another server[^]*listening again/);
  tail.signal("SIGINT");
  expect(await tail.ended).toBe(0);
});

test("a kubeconfig without the backbone is refused with what to do", async () => {
  const plain = join(directory, "plain.conf");
  const { extensions: _, ...rest } = JSON.parse(await readFile(kubeconfig, "utf8")) as { extensions: unknown };
  await writeFile(plain, JSON.stringify(rest));
  const { text, code } = await ended(runPilotWith(plain, ["status"]));
  expect(code).toBe(1);
  expect(text).toContain("does not know the backbone");
  expect(text).toContain("docs/errors.md#ph-161");
});

interface StatusTold {
  readonly well: boolean;
  readonly parts: readonly { readonly name: string; readonly well: boolean; readonly what: string }[];
}

function pilot(...args: string[]): Promise<{ text: string; code: unknown }> {
  return ended(runPilot(...args));
}

function runPilot(...args: string[]): TestProcess {
  return runPilotWith(kubeconfig, args);
}

let runs = 0;

/** In a directory of its own: its output is all that is in there. */
function runPilotWith(file: string, args: readonly string[]): TestProcess {
  const own = join(directory, `pilot-${(runs += 1)}`);
  mkdirSync(own);
  return startProcess({
    command: PILOT,
    args: ["--kubeconfig", file, ...args],
    directory: own,
  });
}

async function ended(run: TestProcess): Promise<{ text: string; code: unknown }> {
  const code = await run.ended;
  return { text: await run.output(), code };
}

/** Both let an operator do what the playbooks let it do, and ours do all. */
async function startNatsPair(): Promise<Nats[]> {
  const config = (name: string): string => `
server_name: "${name}"
tls { cert_file: "${backbone.serverCert}", key_file: "${backbone.serverKey}", ca_file: "${backbone.caFile}", verify_and_map: true }
authorization { users: [
  { user: "CN=operator:master-1", permissions { publish: ["telemetry.listeners"], subscribe: ["telemetry.>"] } }
  { user: "CN=apiserver" }
  { user: "CN=controller-manager" }
] }`;
  const flags = ["--no_advertise"];
  const first = await startNats({ flags, config: config("nats-1") });
  return [first, await startNats({ flags, config: config("nats-2"), routes: [first.clusterEndpoint] })];
}

async function beginWithLeaders(): Promise<void> {
  const [ca, cert, key] = await Promise.all(
    [backbone.caFile, backbone.serverCert, backbone.serverKey].map((file) => readFile(file)),
  );
  const tls = { ca: ca as Buffer, cert: cert as Buffer, key: key as Buffer };
  const store = etcdStore({ endpoints: etcd.map(({ endpoint }) => endpoint), tls, clock: systemClock });
  for (const election of ["kube-scheduler", "kube-controller-manager"]) {
    const value = { identity: "master-3_01234567-89ab-4cde-8f01-23456789abcd", since: "2026-01-02T03:04:05Z" };
    const put = { op: "put", key: electionKey(election), value: Buffer.from(JSON.stringify(value)) } as const;
    await store.txn({ compares: [], then: [put] });
  }
  await store.close();
}

async function registerNode(port: number): Promise<void> {
  const api = createApiClient({ transports: [transport], userAgent: "player" });
  const [free = port] = await freePorts(1);
  const metadata = { name: NODE, labels: { "node-role.kubernetes.io/edge": "" } };
  const node = await api.create(resources.nodes, { metadata, spec: {} });
  const ready = { type: "Ready", status: "True", lastTransitionTime: "2026-01-02T03:04:05Z" };
  const status = {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    conditions: [ready],
    daemonEndpoints: { kubeletEndpoint: { Port: free } },
    nodeInfo: { kubeletVersion: "v1.36.0" },
  };
  await api.update(resources.nodes, { ...node, status } as typeof node, { subresource: "status" });
}

async function writeKubeconfig(port: number): Promise<string> {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const pair = ({ certificatePem, privateKeyPem }: KeyPair): Record<string, string> => ({
    "client-certificate-data": base64(certificatePem),
    "client-key-data": base64(privateKeyPem),
  });
  const server = `https://127.0.0.1:${port}`;
  const extension = {
    "etcd-servers": etcd.map(({ endpoint }) => endpoint),
    "nats-servers": nats.map(({ endpoint }) => endpoint),
    // All masters are one address here: their ports must be told.
    "api-servers": [server],
    "certificate-authority-data": base64(backbone.ca),
    ...pair(await backbone.user("operator:master-1", [])),
  };
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "pilothouse", cluster: { server, "certificate-authority-data": base64(cluster.ca) } }],
    users: [{ name: "admin", user: pair(cluster.admin) }],
    contexts: [{ name: "pilothouse", context: { cluster: "pilothouse", user: "admin" } }],
    "current-context": "pilothouse",
    extensions: [{ name: "pilothouse.io/backbone", extension }],
  };
  const path = join(directory, "admin.conf");
  await writeFile(path, JSON.stringify(config));
  return path;
}

/** A controller-manager's telemetry as it would come from another machine. */
function machineWithClock(host: string, clock: Clock): ReturnType<typeof otelTelemetry> {
  const { scope, bus } = player;
  return otelTelemetry({
    service: "controller-manager",
    instance: host,
    host,
    clock,
    random: systemRandom,
    scope,
    bus,
  });
}
