import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { makeTestDirectory } from "./directory.ts";
import { freePorts } from "./ports.ts";
import { startServer, type TestServer } from "./server.ts";
import { until } from "./until.ts";

export interface NatsOptions {
  /** `clusterEndpoint`s of other servers to form a cluster with. */
  readonly routes?: readonly string[];
  /** More flags for nats-server. */
  readonly flags?: readonly string[];
  /** Text of a configuration file. */
  readonly config?: string;
}

export interface Nats extends TestServer {
  /** `127.0.0.1:port`, for clients. */
  readonly endpoint: string;
  readonly port: number;
  /** `nats://127.0.0.1:port`, for the routes of other servers. */
  readonly clusterEndpoint: string;
}

/** One NATS server that takes connections. */
export async function startNats(options: NatsOptions = {}): Promise<Nats> {
  const [port, clusterPort] = (await freePorts(2)) as [number, number];
  const directory = await makeTestDirectory();
  const args = await flags(port, clusterPort, directory, options);
  const server = await startServer({ command: "nats-server", args, directory }, (nats) =>
    until("nats-server takes connections", async () => {
      if (!nats.running()) throw new Error(`nats-server ended at start:\n${await nats.output()}`);
      return greets(port);
    }),
  );
  return {
    ...server,
    endpoint: `127.0.0.1:${port}`,
    port,
    clusterEndpoint: `nats://127.0.0.1:${clusterPort}`,
  };
}

async function flags(port: number, clusterPort: number, directory: string, options: NatsOptions): Promise<string[]> {
  const own = ["--addr=127.0.0.1", `--port=${port}`];
  const cluster = [`--cluster=nats://127.0.0.1:${clusterPort}`, "--cluster_name=test"];
  if (options.routes) cluster.push(`--routes=${options.routes.join(",")}`);
  if (options.config === undefined) return [...own, ...cluster, ...(options.flags ?? [])];
  await writeFile(`${directory}/nats.conf`, options.config);
  return [...own, ...cluster, `--config=${directory}/nats.conf`, ...(options.flags ?? [])];
}

/** A NATS server greets each connection with INFO. */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("data", (data) => settle(data.toString("latin1").startsWith("INFO")));
    socket.once("error", () => settle(false));
    socket.once("close", () => settle(false));
  });
}
