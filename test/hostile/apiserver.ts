/** One real apiserver, its etcd and NATS, and clients that send whatever bytes they like. */
import { readdir, readFile } from "node:fs/promises";
import { Agent, request as httpsRequest } from "node:https";
import { connect as dial, type Socket } from "node:net";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { buildService } from "../../deploy/commands/build.ts";
import { apiserverProcess, type Apiserver } from "../harness/apiserver.ts";
import { makeCredentials, type Credentials } from "../harness/credentials.ts";
import { makeTestDirectory, removeTestDirectory } from "../harness/directory.ts";
import { startEtcd, type Etcd, type EtcdOptions } from "../harness/etcd.ts";
import { startNats } from "../harness/nats.ts";
import { freePorts } from "../harness/ports.ts";

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** The Status, when it is one. */
  readonly said: { readonly reason?: string; readonly message?: string; readonly code?: number };
}

export interface Asked {
  readonly body?: string | Uint8Array;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** PEM texts of a client certificate; default: the administrator's. "nobody" brings none. */
  readonly as?: { readonly certificatePem: string; readonly privateKeyPem: string } | "nobody";
}

export interface HostileTarget {
  readonly apiserver: Apiserver;
  readonly etcd: Etcd;
  readonly credentials: Credentials;
  ask(method: string, path: string, asked?: Asked): Promise<Answer>;
  /** A bare TLS connection as the administrator. */
  open(): Promise<TLSSocket>;
  /** A TCP connection that says nothing. */
  dial(): Promise<Socket>;
  /** How many the process has open, sockets among them. */
  openFiles(): Promise<number>;
  /** Resident memory. */
  rssMb(): Promise<number>;
  /** What the server's event loop has taken of the processor so far. */
  loopCpuMs(): Promise<number>;
  stop(): Promise<void>;
}

export async function startTarget(options: EtcdOptions = {}): Promise<HostileTarget> {
  const directory = await makeTestDirectory();
  const dist = join(directory, "dist");
  const [etcd, nats, credentials, ports] = await Promise.all([
    startEtcd(options),
    startNats(),
    makeCredentials(directory),
    freePorts(1),
    buildService("apiserver", dist),
  ]);
  const port = ports[0] as number;
  const apiserver = await apiserverProcess({
    name: "target",
    port,
    etcdServers: [etcd.endpoint],
    natsServers: [nats.endpoint],
    credentials,
    dist,
    directory,
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 20 });
  apiserver.start();
  await apiserver.untilReady();
  const { admin, ca } = credentials;
  const identity = ({ as = admin }: Asked) =>
    as === "nobody" ? {} : { cert: as.certificatePem, key: as.privateKeyPem };
  return {
    apiserver,
    etcd,
    credentials,
    ask: (method, path, asked = {}) =>
      new Promise((resolve, reject) => {
        const headers = {
          ...(asked.contentType === undefined ? {} : { "content-type": asked.contentType }),
          ...asked.headers,
        };
        const options = { host: "127.0.0.1", port, ca, agent, method, path, headers, ...identity(asked) };
        const request = httpsRequest(options, (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => resolve(answerOf(response.statusCode ?? 0, Buffer.concat(chunks).toString())));
          response.on("error", reject);
        });
        request.on("error", reject);
        request.end(asked.body);
      }),
    open: () =>
      new Promise((resolve, reject) => {
        const socket = connect({ host: "127.0.0.1", port, ca, cert: admin.certificatePem, key: admin.privateKeyPem });
        socket.once("error", reject);
        socket.once("secureConnect", () => {
          socket.off("error", reject);
          socket.on("error", () => undefined);
          resolve(socket);
        });
      }),
    dial: () =>
      new Promise((resolve, reject) => {
        const socket = dial({ host: "127.0.0.1", port });
        socket.once("error", reject);
        socket.once("connect", () => {
          socket.off("error", reject);
          socket.on("error", () => undefined);
          resolve(socket);
        });
      }),
    async openFiles() {
      return (await readdir(`/proc/${apiserver.pid()}/fd`)).length;
    },
    async rssMb() {
      const status = await readFile(`/proc/${apiserver.pid()}/status`, "utf8");
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
    },
    async loopCpuMs() {
      const [onCpuNs] = (await readFile(`/proc/${apiserver.pid()}/task/${apiserver.pid()}/schedstat`, "utf8")).split(
        " ",
      );
      return Number(onCpuNs) / 1e6;
    },
    async stop() {
      agent.destroy();
      await apiserver.stop();
      await Promise.all([etcd.stop(), nats.stop()]);
      await removeTestDirectory(directory);
    },
  };
}

function answerOf(status: number, text: string): Answer {
  try {
    return { status, text, said: JSON.parse(text) as Answer["said"] };
  } catch {
    return { status, text, said: {} };
  }
}
