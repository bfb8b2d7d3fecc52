/** One apiserver process, from its bundle, on an etcd and a NATS of its own. */
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { buildService } from "../../deploy/commands/build.ts";
import { apiserverProcess } from "../harness/apiserver.ts";
import { makeCredentials, type Target } from "../harness/credentials.ts";
import { freePorts, makeTestDirectory, removeTestDirectory, startEtcd, startNats } from "../harness/index.ts";
import { connectClient, type Client } from "./client.ts";

/** The name of its bus feed. */
export const SERVER_NAME = "bench";

export interface ApiserverUnderLoad {
  readonly target: Target;
  readonly etcdEndpoint: string;
  readonly natsEndpoint: string;
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
  const dist = join(directory, "dist");
  const [etcd, nats, credentials, [port]] = await Promise.all([
    startEtcd({ flags: ["--quota-backend-bytes=4294967296"] }),
    startNats(),
    makeCredentials(directory),
    freePorts(1) as Promise<[number]>,
    buildService("apiserver", dist),
  ]);
  const target = credentials.target(port);
  const clients = new Set<Client>();
  const server = await apiserverProcess({
    name: SERVER_NAME,
    port,
    etcdServers: [etcd.endpoint],
    natsServers: [nats.endpoint],
    credentials,
    dist,
    directory,
    ...options,
  });
  const start = async (): Promise<number> => {
    const startedMs = performance.now();
    server.start();
    await server.untilReady();
    return performance.now() - startedMs;
  };
  const stop = async (): Promise<void> => {
    for (const open of clients) open.close();
    await server.stop();
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
    etcdEndpoint: etcd.endpoint,
    natsEndpoint: nats.endpoint,
    pid: () => server.pid(),
    client(connections) {
      const made = connectClient(target, connections);
      clients.add(made);
      return made;
    },
    async restart() {
      await server.stop();
      return start();
    },
    stop,
  };
}
