/**
 * Where the other candidates of an election ask whether this very process still lives (C12).
 *
 * With `--leader-address` that is an address of its own, by TLS both ways with the certificate that this process has for etcd: it
 * answers /identity there and nothing else, and whoever shows no certificate of the same authority gets no answer. The certificate
 * must be good for a server of that address. Without, candidates ask the health port in plain HTTP.
 */
import { createServer, request as httpsRequest, type RequestOptions } from "node:https";
import type { Settings, Values } from "@pilothouse/config";
import type { etcdSettings } from "./etcd.ts";
import type { ProcessPorts } from "./index.ts";
import { askIdentity, probeLeader, type Leader } from "./probe-leader.ts";
import { watchTls, type TlsTexts } from "./tls-files.ts";

export const leaderSettings = {
  "leader-address": {
    type: "string",
    help: "Where other candidates ask whether this process lives: this address and --health-port, by TLS with --etcd-cert-file.",
  },
} as const satisfies Settings;

export interface LeaderDoor {
  /** What the election's key tells the others; `https://…` where they are to speak TLS. */
  readonly healthAddress: string | undefined;
  readonly probeLeader: (leader: Leader) => Promise<boolean>;
}

type LeaderValues = Values<typeof leaderSettings & typeof etcdSettings> & { readonly "health-port": number };

/** Listens when it resolves, until the scope closes. Throws without a certificate to show, or where it cannot listen. */
export async function openLeaderDoor(values: LeaderValues, ports: ProcessPorts): Promise<LeaderDoor> {
  const { "leader-address": address, "health-port": port } = values;
  if (address === undefined || port === 0) return { healthAddress: ports.healthAddress, probeLeader };
  const { "etcd-ca-file": ca, "etcd-cert-file": certificate, "etcd-key-file": key } = values;
  if (!ca || !certificate || !key)
    throw new Error("--leader-address needs --etcd-ca-file, --etcd-cert-file and --etcd-key-file");
  const files = watchTls("leader", { ca, certificate, key }, ports);
  const server = createServer(
    { ...contextOf(files.current()), requestCert: true, rejectUnauthorized: true },
    ({ url }, response) => {
      if (url === "/identity") response.end(ports.identity);
      else response.writeHead(404).end("not found\n");
    },
  );
  files.follow((texts) => server.setSecureContext(contextOf(texts)));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, address, resolve);
  });
  ports.scope.defer(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return {
    healthAddress: `https://${address}:${port}`,
    probeLeader: (leader) => {
      if (leader.healthAddress?.startsWith("https://") !== true) return probeLeader(leader);
      const options: RequestOptions = { ...contextOf(files.current()), agent: false };
      return askIdentity(leader, (timeout) =>
        httpsRequest(`${leader.healthAddress}/identity`, { ...options, timeout }),
      );
    },
  };
}

function contextOf({ ca = "", certificate = "", key = "" }: TlsTexts): Readonly<Record<"ca" | "cert" | "key", string>> {
  return { ca, cert: certificate, key };
}
