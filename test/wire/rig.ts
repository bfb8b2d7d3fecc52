/** One apiserver on real etcd and NATS for all wire tests, and every client that can be had pointed at it. */
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildService } from "../../deploy/commands/build.ts";
import { apiserverProcess } from "../harness/apiserver.ts";
import { makeCredentials, type Credentials } from "../harness/credentials.ts";
import { freePorts, makeTestDirectory, removeTestDirectory, startEtcd, startNats } from "../harness/index.ts";
import { realClients, type Client, type Clients } from "./clients.ts";
import { Asker } from "./exchange.ts";

export interface WireRig {
  readonly clients: Clients;
  readonly credentials: Credentials;
  readonly port: number;
  /** Of the administrator. */
  readonly kubeconfig: string;
  /** As the administrator. */
  readonly api: Asker;
  /** Runs a client to its end; never rejects for its exit code. */
  run(client: Client, args: readonly string[] | string, input?: string): Promise<Ran>;
  /** Those of the found clients that are kubectl, from this minor version on. */
  kubectls(fromMinor?: number): readonly Client[];
  /** The newest kubectl, to its end; rejects with what it says when it fails. */
  kubectl(args: readonly string[] | string, input?: string): Promise<string>;
  stop(): Promise<void>;
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const PATIENCE_MS = 45_000;

export async function startWireRig(): Promise<WireRig> {
  const directory = await makeTestDirectory();
  const dist = join(directory, "dist");
  const [clients, etcd, nats, credentials, [port = 0]] = await Promise.all([
    realClients(),
    startEtcd(),
    startNats(),
    makeCredentials(directory),
    freePorts(1),
    buildService("apiserver", dist),
  ]);
  const apiserver = await apiserverProcess({
    name: "master-1",
    port,
    etcdServers: [etcd.endpoint],
    natsServers: [nats.endpoint],
    credentials,
    dist,
    directory,
  });
  apiserver.start();
  await apiserver.untilReady();
  const kubeconfig = join(directory, "admin.conf");
  await writeFile(kubeconfig, kubeconfigOf(credentials, port), { mode: 0o600 });
  const api = new Asker(credentials.target(port));
  const kubectls = (fromMinor = 0): readonly Client[] => clients.found.filter(({ name }) => minorOf(name) >= fromMinor);
  const run: WireRig["run"] = async (client, args, input) => {
    const home = join(directory, client.name.replaceAll(" ", "-"));
    await mkdir(home, { recursive: true });
    return runToEnd(client.path, typeof args === "string" ? args.split(" ") : args, home, kubeconfig, input);
  };
  await api.ask({ method: "POST", path: "/api/v1/namespaces/default/serviceaccounts", body: serviceAccount });
  return {
    clients,
    credentials,
    port,
    kubeconfig,
    api,
    run,
    kubectls,
    async kubectl(args, input) {
      const newest = kubectls().at(-1);
      if (!newest) throw new Error("no kubectl is to be had");
      const { code, out, err } = await run(newest, args, input);
      if (code !== 0) throw new Error(`${newest.name} ${String(args)} ended with ${code}: ${err}${out}`);
      return out;
    },
    async stop() {
      api.close();
      await apiserver.stop();
      await Promise.all([etcd.stop(), nats.stop()]);
      await removeTestDirectory(directory);
    },
  };
}

const serviceAccount = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default" } };

function minorOf(name: string): number {
  return Number(/^kubectl 1\.(\d+)$/.exec(name)?.[1] ?? -1);
}

function runToEnd(
  path: string,
  args: readonly string[],
  home: string,
  kubeconfig: string,
  input: string | undefined,
): Promise<Ran> {
  const env = { HOME: home, PATH: process.env["PATH"], KUBECONFIG: kubeconfig };
  return new Promise((resolve) => {
    const child = execFile(path, args, { env, timeout: PATIENCE_MS, maxBuffer: 64 << 20 }, (error, out, err) => {
      resolve({ code: error ? (typeof error.code === "number" ? error.code : -1) : 0, out, err });
    });
    child.stdin?.on("error", () => {});
    child.stdin?.end(input ?? "");
  });
}

function kubeconfigOf({ caFile, admin }: Credentials, port: number): string {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const user = {
    "client-certificate-data": base64(admin.certificatePem),
    "client-key-data": base64(admin.privateKeyPem),
  };
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "c", cluster: { server: `https://127.0.0.1:${port}`, "certificate-authority": caFile } }],
    users: [{ name: "u", user }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  });
}
