import { makeTestDirectory } from "./directory.ts";
import { freePorts } from "./ports.ts";
import type { TestProcess } from "./process.ts";
import { startServer, type TestServer } from "./server.ts";
import { until } from "./until.ts";

export interface EtcdOptions {
  /** More flags for etcd, `--name=value` each. */
  readonly flags?: readonly string[];
  /** Paths of PEM files: the client port then speaks TLS and asks for a certificate of this CA. */
  readonly tls?: { readonly caFile: string; readonly certFile: string; readonly keyFile: string };
}

export interface Etcd extends TestServer {
  /** `http(s)://127.0.0.1:port`. */
  readonly endpoint: string;
  readonly port: number;
  /** Whether this member leads the cluster; false when it does not answer. */
  leads(): Promise<boolean>;
}

interface Member {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly healthPort: number;
}

/** One etcd, healthy. */
export async function startEtcd(options: EtcdOptions = {}): Promise<Etcd> {
  const [etcd] = await startEtcdCluster(1, options);
  return etcd as Etcd;
}

/** A cluster of `size` members, all healthy. */
export async function startEtcdCluster(size: number, options: EtcdOptions = {}): Promise<Etcd[]> {
  const ports = await freePorts(size * 3);
  const members = Array.from({ length: size }, (_, i): Member => {
    const [clientPort, peerPort, healthPort] = ports.slice(i * 3) as [number, number, number];
    return { name: `m${i}`, clientPort, peerPort, healthPort };
  });
  const cluster = members.map((member) => `${member.name}=http://127.0.0.1:${member.peerPort}`).join(",");
  const token = `ph-${process.pid}-${ports[0]}`;
  const clusterFlags = [`--initial-cluster=${cluster}`, `--initial-cluster-token=${token}`];
  return Promise.all(members.map((member) => startMember(member, clusterFlags, options)));
}

async function startMember(member: Member, clusterFlags: readonly string[], options: EtcdOptions): Promise<Etcd> {
  const directory = await makeTestDirectory();
  const endpoint = `${options.tls ? "https" : "http"}://127.0.0.1:${member.clientPort}`;
  const args = [
    ...memberFlags(member, endpoint, directory),
    ...tlsFlags(options),
    ...clusterFlags,
    ...(options.flags ?? []),
  ];
  const healthUrl = `http://127.0.0.1:${member.healthPort}`;
  const server = await startServer({ command: "etcd", args, directory }, (etcd) =>
    untilHealthy(`${healthUrl}/health`, etcd),
  );
  return { ...server, endpoint, port: member.clientPort, leads: () => leads(`${healthUrl}/metrics`) };
}

function memberFlags(member: Member, endpoint: string, directory: string): string[] {
  return [
    `--name=${member.name}`,
    `--data-dir=${directory}/data`,
    `--listen-client-urls=${endpoint}`,
    `--advertise-client-urls=${endpoint}`,
    `--listen-peer-urls=http://127.0.0.1:${member.peerPort}`,
    `--initial-advertise-peer-urls=http://127.0.0.1:${member.peerPort}`,
    `--listen-metrics-urls=http://127.0.0.1:${member.healthPort}`,
    "--logger=zap",
    "--log-level=warn",
  ];
}

function tlsFlags({ tls }: EtcdOptions): string[] {
  if (!tls) return [];
  return [
    `--cert-file=${tls.certFile}`,
    `--key-file=${tls.keyFile}`,
    `--trusted-ca-file=${tls.caFile}`,
    "--client-cert-auth=true",
  ];
}

async function leads(metricsUrl: string): Promise<boolean> {
  try {
    const answer = await fetch(metricsUrl, { signal: AbortSignal.timeout(500) });
    return (await answer.text()).includes("\netcd_server_is_leader 1\n");
  } catch {
    return false; // Dead or paused.
  }
}

async function untilHealthy(url: string, etcd: TestProcess): Promise<void> {
  await until(
    "etcd is healthy",
    async () => {
      if (!etcd.running()) throw new Error(`etcd ended at start:\n${await etcd.output()}`);
      const answer = await fetch(url).catch(() => undefined);
      return answer !== undefined && (await answer.text()).includes('"true"');
    },
    20_000,
  );
}
