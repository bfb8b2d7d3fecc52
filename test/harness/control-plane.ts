/**
 * The control plane of a cluster with three masters, each of its connections breakable: three etcd members, two NATS servers,
 * three apiservers; a proxy on each edge from an apiserver to an etcd member or a NATS server, and one before each apiserver.
 *
 * Each apiserver prefers the etcd member of its own number. Members reach each other without a proxy: kill or pause them.
 */
import { join } from "node:path";
import { httpsTransport } from "@pilothouse/client/https";
import type { Transport } from "@pilothouse/client";
import { systemClock } from "@pilothouse/clock/system";
import type { KeyPair } from "@pilothouse/pki";
import type { Store } from "@pilothouse/store";
import { etcdStore } from "@pilothouse/store-etcd";
import { buildService } from "../../deploy/commands/build.ts";
import { apiserverProcess, type Apiserver } from "./apiserver.ts";
import { makeCredentials, type Credentials } from "./credentials.ts";
import { makeTestDirectory, removeTestDirectory } from "./directory.ts";
import { startEtcdCluster, type Etcd, type EtcdOptions } from "./etcd.ts";
import { startNats, type Nats } from "./nats.ts";
import { freePorts } from "./ports.ts";
import { tcpProxy, type TcpProxy } from "./tcp-proxy.ts";

export interface ControlPlane {
  readonly etcd: readonly Etcd[];
  readonly nats: readonly Nats[];
  readonly apiservers: readonly ControlPlaneApiserver[];
  readonly credentials: Credentials;
  /** The etcd member that leads; undefined while none says so. */
  etcdLeader(): Promise<Etcd | undefined>;
  /** A store on the etcd members themselves, past apiservers and proxies. The caller closes it. */
  openStore(): Store;
  /** Ends every process and proxy, whatever state they are in, and removes the files. */
  stop(): Promise<void>;
}

export interface ControlPlaneApiserver extends Apiserver {
  /** By the number of the etcd member. */
  readonly toEtcd: readonly TcpProxy[];
  /** By the number of the NATS server. */
  readonly toNats: readonly TcpProxy[];
  /** What clients connect to. */
  readonly door: TcpProxy;
  /** HTTPS through the door, as the administrator or as another user. The caller closes it. */
  connect(user?: KeyPair): Transport;
}

export interface ControlPlaneOptions {
  /** How many etcd members and apiservers; default 3. A single one has a single NATS server. */
  readonly masters?: number;
  readonly etcd?: EtcdOptions;
  /** More flags for each apiserver, `--name=value` each. */
  readonly apiserverFlags?: readonly string[];
}

/** All apiservers are ready when it resolves. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const { masters = 3 } = options;
  const opened: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (let close = opened.pop(); close; close = opened.pop()) await close();
  };
  try {
    const directory = await makeTestDirectory();
    opened.push(() => removeTestDirectory(directory));
    const dist = join(directory, "dist");
    const [etcd, nats, credentials] = await Promise.all([
      startEtcdCluster(masters, options.etcd),
      startNatsServers(masters > 1),
      makeCredentials(directory),
      buildService("apiserver", dist),
    ]);
    opened.push(() => Promise.all([...etcd, ...nats].map((server) => server.stop())));
    const ports = await freePorts(masters);
    const apiservers: ControlPlaneApiserver[] = [];
    for (const [master, port] of ports.entries()) {
      const toEtcd = await proxiesTo(etcd, opened);
      const toNats = await proxiesTo(nats, opened);
      const door = await tcpProxy(port);
      opened.push(() => door.close());
      const apiserver = await apiserverProcess({
        name: `master-${master + 1}`,
        advertiseAddress: `198.51.100.${master + 1}`,
        port,
        etcdServers: ownFirst(toEtcd, master).map(({ address }) => `http://${address}`),
        natsServers: ownFirst(toNats, master).map(({ address }) => address),
        credentials,
        dist,
        directory,
        ...(options.apiserverFlags ? { flags: options.apiserverFlags } : {}),
      });
      opened.push(() => apiserver.kill());
      const connect = (user = credentials.admin): Transport => transportTo(door, credentials, user);
      apiservers.push({ ...apiserver, toEtcd, toNats, door, connect });
    }
    for (const apiserver of apiservers) apiserver.start();
    await Promise.all(apiservers.map((apiserver) => apiserver.untilReady()));
    return {
      etcd,
      nats,
      apiservers,
      credentials,
      async etcdLeader() {
        const leads = await Promise.all(etcd.map((member) => member.leads()));
        return etcd.find((_, i) => leads[i]);
      },
      openStore: () => etcdStore({ endpoints: etcd.map(({ endpoint }) => endpoint), clock: systemClock }),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** They do not tell clients of each other, who would then go round the proxies. */
async function startNatsServers(inPair: boolean): Promise<Nats[]> {
  const flags = ["--no_advertise"];
  const first = await startNats({ flags });
  return inPair ? [first, await startNats({ flags, routes: [first.clusterEndpoint] })] : [first];
}

async function proxiesTo(
  targets: readonly { readonly port: number }[],
  opened: (() => Promise<unknown>)[],
): Promise<TcpProxy[]> {
  const proxies = await Promise.all(targets.map(({ port }) => tcpProxy(port)));
  opened.push(() => Promise.all(proxies.map((proxy) => proxy.close())));
  return proxies;
}

/** The others follow in the order of their numbers, round the end. */
function ownFirst<T>(all: readonly T[], own: number): T[] {
  return all.map((_, i) => all[(own + i) % all.length] as T);
}

function transportTo(door: TcpProxy, { ca }: Credentials, user: KeyPair): Transport {
  return httpsTransport({
    server: `https://${door.address}`,
    ca,
    clientCertificate: user.certificatePem,
    clientKey: user.privateKeyPem,
    clock: systemClock,
  });
}
