/** One apiserver process, from its bundle, on an etcd and a NATS of its own. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { nodeFlags } from "../../deploy/cluster/processes.ts";
import { buildService } from "../../deploy/commands/build.ts";
import {
  freePorts,
  makeTestDirectory,
  removeTestDirectory,
  startEtcd,
  startNats,
  startProcess,
  until,
  type TestProcess,
} from "../harness/index.ts";
import { connectClient, type Client, type Target } from "./client.ts";
import { makeCredentials } from "./credentials.ts";

export interface ApiserverUnderLoad {
  readonly target: Target;
  pid(): number;
  /** A client of an administrator; closed with the server at the latest. */
  client(connections: number): Client;
  /** Ends the process and starts it again on the same data; resolves to the time until it was ready. */
  restart(): Promise<number>;
  stop(): Promise<void>;
}

export interface ApiserverOptions {
  /** For node, before the program; default: those of a cluster. */
  readonly nodeFlags?: readonly string[];
}

export async function startApiserver(options: ApiserverOptions = {}): Promise<ApiserverUnderLoad> {
  const directory = await makeTestDirectory();
  const [etcd, nats, credentials, [port]] = await Promise.all([
    startEtcd({ flags: ["--quota-backend-bytes=4294967296"] }),
    startNats(),
    makeCredentials(directory),
    freePorts(1) as Promise<[number]>,
    buildService("apiserver", join(directory, "dist")),
    mkdir(join(directory, "work")),
  ]);
  const target = await credentials.target(port);
  const clients = new Set<Client>();
  const client = (connections: number): Client => {
    const made = connectClient(target, connections);
    clients.add(made);
    return made;
  };
  let server: TestProcess | undefined;
  const start = async (): Promise<number> => {
    const startedMs = performance.now();
    const started = startProcess({
      command: process.execPath,
      args: [
        ...(options.nodeFlags ?? nodeFlags("apiserver")),
        join(directory, "dist/apiserver/main.mjs"),
        "--name=bench",
        "--bind-address=127.0.0.1",
        "--advertise-address=198.51.100.1",
        `--secure-port=${port}`,
        `--tls-cert-file=${credentials.serverCert}`,
        `--tls-private-key-file=${credentials.serverKey}`,
        `--client-ca-file=${credentials.caFile}`,
        `--service-account-key-file=${credentials.tokenKey}`,
        `--etcd-servers=${etcd.endpoint}`,
        `--nats-servers=${nats.endpoint}`,
      ],
      directory: join(directory, "work"),
      env: { NODE_COMPILE_CACHE: join(directory, "cache") },
    });
    server = started;
    const asking = client(1);
    await until(
      "the apiserver is ready",
      async () => {
        if (!started.running()) throw new Error(await started.output());
        return asking.send({ method: "GET", path: "/readyz" }).then(
          () => true,
          () => false,
        );
      },
      60_000,
    );
    asking.close();
    return performance.now() - startedMs;
  };
  const stop = async (): Promise<void> => {
    for (const open of clients) open.close();
    await server?.stop();
    await Promise.all([etcd.stop(), nats.stop()]);
    await removeTestDirectory(directory);
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    target,
    pid: () => server?.pid ?? -1,
    client,
    async restart() {
      await server?.stop();
      return start();
    },
    stop,
  };
}
