/** Looks at a cluster's parts, all at once, each within a deadline: what they say of themselves, and the certificates they show. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type * as coreV1 from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { withDeadline, type Clock } from "@pilothouse/clock";
import type { BackboneCredentials, ClusterAccess } from "./cluster-access.ts";
import type {
  ApiserverSeen,
  CertificateSeen,
  ClusterSeen,
  ElectionsSeen,
  EtcdSeen,
  KubeletSeen,
  LeaderSeen,
  NatsInfo,
  Seen,
} from "./cluster-seen.ts";
import { addressOf } from "./machine-names.ts";

const PROBE_DEADLINE_MS = 2_000;
const ELECTIONS = "/pilothouse/elections/";

/** Kubelets are looked for where their nodes say, so it takes two deadlines at worst. */
export async function lookAt(access: ClusterAccess, clock: Clock): Promise<ClusterSeen> {
  const { api, apiservers, etcd, nats, backbone } = access.addresses;
  const looking = listNodes(access, clock);
  const [users, masters, members, servers, nodes, kubelets] = await Promise.all([
    lookAtApiserver(access, api.server, clock),
    Promise.all(apiservers.map((server) => lookAtApiserver(access, server, clock))),
    Promise.all(etcd.map((endpoint) => lookAtEtcd(access, endpoint, clock))),
    Promise.all(
      nats.map(async (server) => ({
        server,
        info: await seen(lookAtNats(server, backbone, clock)),
      })),
    ),
    looking,
    looking.then((nodes) => lookAtKubelets("value" in nodes ? nodes.value : [], api, clock)),
  ]);
  return { api: users, apiservers: masters, etcd: members, nats: servers, nodes, kubelets };
}

async function lookAtApiserver(access: ClusterAccess, server: string, clock: Clock): Promise<ApiserverSeen> {
  const api = access.apiAt(server);
  const get = async (path: string): Promise<string> =>
    new TextDecoder().decode(await api.raw("GET", path, { deadlineMs: PROBE_DEADLINE_MS }));
  const ready = async (): Promise<string> => {
    const [, version] = await Promise.all([get("/readyz"), get("/version")]);
    return (JSON.parse(version) as { gitVersion: string }).gitVersion;
  };
  const [version, certificate] = await Promise.all([
    seen(withDeadline(clock, PROBE_DEADLINE_MS, server, ready())),
    lookAtCertificate(new URL(server), access.addresses.api, clock),
  ]);
  return { server, version, certificate };
}

async function lookAtEtcd(access: ClusterAccess, endpoint: string, clock: Clock): Promise<EtcdSeen> {
  const member = access.etcdMember(endpoint, PROBE_DEADLINE_MS);
  const [status, members, elections, certificate] = await Promise.all([
    seen(member.status()),
    seen(member.members()),
    leadersOf(access, endpoint),
    lookAtCertificate(new URL(endpoint), access.addresses.backbone, clock),
  ]);
  return { endpoint, status, members, elections, certificate };
}

/** Who leads what, as one etcd member has it. */
export function leadersOf(access: ClusterAccess, endpoint: string): Promise<Seen<ElectionsSeen>> {
  const asking = access.etcdMember(endpoint, PROBE_DEADLINE_MS).entries(ELECTIONS);
  return seen(
    asking.then(({ entries, revision }) => ({
      revision,
      leaders: entries.map(({ key, value }) => leaderOf(key, value)),
    })),
  );
}

function leaderOf(key: string, value: Uint8Array): LeaderSeen {
  const election = key.slice(ELECTIONS.length);
  try {
    const { identity = "?", since = "?" } = JSON.parse(new TextDecoder().decode(value)) as Partial<LeaderSeen>;
    return { election, identity, since };
  } catch {
    return { election, identity: "?", since: "?" };
  }
}

/** From whoever answers first. */
function listNodes(access: ClusterAccess, clock: Clock): Promise<Seen<readonly coreV1.Node[]>> {
  const { api, apiservers } = access.addresses;
  const asked = [...new Set([api.server, ...apiservers])].map(async (server) => {
    const { items } = await access.apiAt(server).list(resources.nodes, "", { deadlineMs: PROBE_DEADLINE_MS });
    return items;
  });
  return seen(withDeadline(clock, PROBE_DEADLINE_MS, "the API", Promise.any(asked)));
}

function lookAtKubelets(nodes: readonly coreV1.Node[], trust: Trust, clock: Clock): Promise<KubeletSeen[]> {
  return Promise.all(
    nodes.map(async (node): Promise<KubeletSeen> => {
      const name = node.metadata?.name ?? "";
      const address = addressOf(node);
      const port = node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 10_250;
      if (address === undefined) return { node: name, certificate: { why: "the node has no address" } };
      return { node: name, certificate: await lookAtCertificate(new URL(`https://${address}:${port}`), trust, clock) };
    }),
  );
}

interface Trust {
  readonly ca: string;
  /** For servers that talk to nobody without one. */
  readonly certificate?: string;
  readonly key?: string;
}

function lookAtCertificate(
  { hostname, port }: URL,
  { ca, certificate: cert, key }: Trust,
  clock: Clock,
): Promise<Seen<CertificateSeen>> {
  const own = cert === undefined || key === undefined ? {} : { cert, key };
  // What is not in order is to be seen too: nothing is sent over this connection.
  const socket = connectTls({ host: hostname, port: Number(port), ca, ...own, rejectUnauthorized: false });
  return seen(
    withDeadline(clock, PROBE_DEADLINE_MS, `${hostname}:${port}`, certificateOf(socket, hostname)).finally(() =>
      socket.destroy(),
    ),
  );
}

function certificateOf(socket: TLSSocket, hostname: string): Promise<CertificateSeen> {
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.once("secureConnect", () => {
      const { valid_from: begin, valid_to: end } = socket.getPeerCertificate();
      const refused = socket.authorized ? undefined : String(socket.authorizationError);
      if (end === undefined) reject(new Error(`${hostname} shows no certificate`));
      else resolve({ beginsMs: Date.parse(begin), endsMs: Date.parse(end), refused });
    });
  });
}

async function lookAtNats(server: string, backbone: BackboneCredentials, clock: Clock): Promise<NatsInfo> {
  const [hostname = "", port] = server.split(":");
  const socket = connectTcp(Number(port), hostname);
  try {
    return await withDeadline(clock, PROBE_DEADLINE_MS, server, greetNats(socket, hostname, backbone));
  } finally {
    socket.destroy();
  }
}

/** A server says in plain text who it is, then wants TLS; it is well when it takes the operator's name and answers a PING. */
async function greetNats(plain: Socket, host: string, backbone: BackboneCredentials): Promise<NatsInfo> {
  const { ca, certificate: cert, key } = backbone;
  const greeting = JSON.parse((await line(plain, "INFO ")).slice("INFO ".length)) as {
    readonly server_name: string;
    readonly version: string;
  };
  const secure = connectTls({ socket: plain, host, ca, cert, key, rejectUnauthorized: false });
  const certificate = await certificateOf(secure, host);
  const options = { verbose: false, pedantic: false, tls_required: true, name: "pilot", lang: "node", version: "1" };
  secure.write(`CONNECT ${JSON.stringify(options)}\r\nPING\r\n`);
  await line(secure, "PONG");
  return { name: greeting.server_name, version: greeting.version, certificate };
}

/** The next line that begins so; a `-ERR` is thrown. */
function line(socket: Socket, beginning: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const hear = (data: Buffer): void => {
      text += data.toString("utf8");
      const lines = text.split("\r\n").slice(0, -1);
      const error = lines.find((it) => it.startsWith("-ERR"));
      const found = lines.find((it) => it.startsWith(beginning));
      if (error !== undefined) reject(new Error(error.slice("-ERR ".length)));
      else if (found === undefined) return;
      else resolve(found);
      socket.off("data", hear);
    };
    socket.on("data", hear);
    socket.on("error", reject);
    socket.once("close", () => reject(new Error("the connection was closed")));
  });
}

async function seen<T>(work: Promise<T>): Promise<Seen<T>> {
  try {
    return { value: await work };
  } catch (error) {
    const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
    return { why: first instanceof Error ? first.message : String(first) };
  }
}
