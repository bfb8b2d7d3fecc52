/** One apiserver process, from its bundle: the same program, flags and runtime as in a cluster. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Transport } from "@pilothouse/client";
import { httpsTransport } from "@pilothouse/client/https";
import { systemClock } from "@pilothouse/clock/system";
import { nodeEnvironment, nodeFlags } from "../../deploy/cluster/processes.ts";
import type { Credentials } from "./credentials.ts";
import { startProcess, type TestProcess } from "./process.ts";
import { until } from "./until.ts";

export interface ApiserverOptions {
  /** Unique: the name of its bus feed. */
  readonly name: string;
  /** Of loopback, for its HTTPS door. */
  readonly port: number;
  readonly etcdServers: readonly string[];
  readonly natsServers: readonly string[];
  readonly credentials: Credentials;
  /** Where `buildService("apiserver", dist)` has put the bundle. */
  readonly dist: string;
  /** Of the test; it works in a directory of its own in there. */
  readonly directory: string;
  readonly advertiseAddress?: string;
  /** For node, before the program; default: those of a cluster. */
  readonly nodeFlags?: readonly string[];
  /** More flags for the apiserver, `--name=value` each. */
  readonly flags?: readonly string[];
}

export interface Apiserver {
  readonly name: string;
  /** Of its own door, with no proxy before it. */
  readonly port: number;
  pid(): number;
  running(): boolean;
  /** Freezes the process; its connections stay open. */
  pause(): void;
  resume(): void;
  /** Starts it, also again after `kill` or `stop`; does not wait for anything. */
  start(): void;
  /** Resolves when /readyz says ok; rejects when the process has ended or after `timeoutMs` (default 60,000). */
  untilReady(timeoutMs?: number): Promise<void>;
  kill(): Promise<void>;
  /** Asks it to end, and waits until it is gone. */
  stop(): Promise<void>;
  /** All that this incarnation and those before it have written. */
  output(): Promise<string>;
}

/** How much of what a process has written is told when it has ended, in characters. */
const TAIL = 4_000;

/** Not started yet. */
export async function apiserverProcess(options: ApiserverOptions): Promise<Apiserver> {
  const directory = join(options.directory, options.name);
  await mkdir(directory);
  const { admin, ca } = options.credentials;
  let server: TestProcess | undefined;
  return {
    name: options.name,
    port: options.port,
    pid: () => server?.pid ?? -1,
    running: () => server?.running() ?? false,
    pause: () => server?.signal("SIGSTOP"),
    resume: () => server?.signal("SIGCONT"),
    start() {
      server = startProcess({
        command: process.execPath,
        args: commandLine(options),
        directory,
        env: nodeEnvironment(join(options.directory, "cache")),
      });
    },
    async untilReady(timeoutMs = 60_000) {
      const transport = httpsTransport({
        server: `https://127.0.0.1:${options.port}`,
        ca,
        clientCertificate: admin.certificatePem,
        clientKey: admin.privateKeyPem,
        clock: systemClock,
      });
      const isReady = async (): Promise<boolean> => {
        if (!server?.running())
          throw new Error(`${options.name} has ended:\n${(await server?.output())?.slice(-TAIL)}`);
        return answersOk(transport, "/readyz");
      };
      try {
        await until(`${options.name} is ready`, isReady, timeoutMs);
      } finally {
        await transport.close();
      }
    },
    async kill() {
      server?.signal("SIGKILL");
      await server?.ended;
    },
    stop: async () => server?.stop(),
    output: async () => (await server?.output()) ?? "",
  };
}

async function answersOk(transport: Transport, path: string): Promise<boolean> {
  try {
    const { status, body } = await transport.send({ method: "GET", path, headers: {}, deadlineMs: 1_000 });
    for await (const _ of body); // To its end, or its connection would not be free again.
    return status === 200;
  } catch {
    return false;
  }
}

function commandLine(options: ApiserverOptions): string[] {
  const { credentials } = options;
  return [
    ...(options.nodeFlags ?? nodeFlags("apiserver")),
    join(options.dist, "apiserver/main.mjs"),
    `--name=${options.name}`,
    "--bind-address=127.0.0.1",
    `--advertise-address=${options.advertiseAddress ?? "198.51.100.1"}`,
    `--secure-port=${options.port}`,
    `--tls-cert-file=${credentials.serverCert}`,
    `--tls-private-key-file=${credentials.serverKey}`,
    `--client-ca-file=${credentials.caFile}`,
    `--service-account-key-file=${credentials.tokenKey}`,
    `--etcd-servers=${options.etcdServers.join(",")}`,
    `--nats-servers=${options.natsServers.join(",")}`,
    ...(options.flags ?? []),
  ];
}
