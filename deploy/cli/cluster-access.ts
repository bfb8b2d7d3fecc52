/**
 * How the operator reaches a cluster: its API, its bus, its etcd members, each part by its own address.
 *
 * Two sources give the addresses and credentials: this clone's cluster (`localCluster`), and an administrator's kubeconfig that
 * knows the backbone (`clusterOfKubeconfig`). Whoever uses an access does not know which it was.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bus } from "@pilothouse/bus";
import { natsBus } from "@pilothouse/bus-nats";
import { createApiClient, type ApiClient, type Transport } from "@pilothouse/client";
import { httpsTransport, type HttpsTransportOptions } from "@pilothouse/client/https";
import { kubeconfigExtension, parseKubeconfig } from "@pilothouse/client/kubeconfig";
import { sleep, type Clock } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import { etcdMember, type EtcdMember } from "@pilothouse/store-etcd";
import { ExplainedError } from "../cluster/errors.ts";
import type { ClusterChoices, Layout } from "../cluster/layout.ts";

/** Where a cluster's parts are, and who the operator is to them. */
export interface ClusterAddresses {
  /** As users reach the API: `https://host:port`, and the administrator's credentials. */
  readonly api: Omit<HttpsTransportOptions, "clock">;
  /** Each apiserver by its own address, `https://host:port`. */
  readonly apiservers: readonly string[];
  /** `https://host:port` */
  readonly etcd: readonly string[];
  /** `host:port` */
  readonly nats: readonly string[];
  readonly backbone: BackboneCredentials;
  /** What to look at when the bus does not answer. */
  readonly busHelp: string;
}

/** PEM texts: the operator's name on the backbone. */
export interface BackboneCredentials {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** The name of the kubeconfig's extension that tells how to reach etcd and NATS. */
const EXTENSION = "pilothouse.io/backbone";
const BUS_PATIENCE_MS = 5_000;

/** Opens what is asked for; everything closes with the scope. */
export class ClusterAccess {
  readonly addresses: ClusterAddresses;
  readonly #clock: Clock;
  readonly #scope: Scope;

  constructor(addresses: ClusterAddresses, clock: Clock, scope: Scope) {
    this.addresses = addresses;
    this.#clock = clock;
    this.#scope = scope;
  }

  /** The API by one address: the users' own, or an apiserver's. */
  apiAt(server: string): ApiClient {
    return createApiClient({ transports: [this.#transport(server)], userAgent: "pilot" });
  }

  etcdMember(endpoint: string, deadlineMs: number): EtcdMember {
    const { ca, certificate, key } = this.addresses.backbone;
    const tls = { ca: Buffer.from(ca), cert: Buffer.from(certificate), key: Buffer.from(key) };
    const member = etcdMember({ endpoint, tls, clock: this.#clock, deadlineMs });
    this.#scope.defer(() => member.close());
    return member;
  }

  /** Resolves when a server is reached; from then on it goes from server to server by itself. */
  async bus(): Promise<Bus> {
    const { nats, backbone, busHelp } = this.addresses;
    let last: unknown;
    const bus = natsBus({
      servers: nats,
      name: "pilot",
      tls: backbone,
      // It tries again by itself; what counts is whether it is connected in time.
      onError: (error) => (last = error),
    });
    this.#scope.defer(() => bus.close());
    const endMs = this.#clock.monotonicMs() + BUS_PATIENCE_MS;
    while (!bus.connected()) {
      if (this.#clock.monotonicMs() > endMs) {
        const why = last instanceof Error ? { why: last.message } : {};
        throw new ExplainedError("PH-130", `NATS does not answer (${nats.join(", ")}).`, { next: busHelp, ...why });
      }
      await sleep(this.#clock, 20);
    }
    return bus;
  }

  #transport(server: string): Transport {
    const transport = httpsTransport({ ...this.addresses.api, server, clock: this.#clock });
    this.#scope.defer(() => transport.close());
    return transport;
  }
}

/** The cluster that `npm run up` has made in this clone. */
export function localCluster(layout: Layout, { ports }: ClusterChoices): ClusterAddresses {
  const read = (file: string): string => readFileSync(join(layout.pki, file), "utf8");
  const apiserver = `https://127.0.0.1:${ports.apiserver}`;
  return {
    api: {
      server: apiserver,
      ca: read("cluster-ca.crt"),
      clientCertificate: read("admin.crt"),
      clientKey: read("admin.key"),
    },
    apiservers: [apiserver],
    etcd: [`https://127.0.0.1:${ports.etcdClient}`],
    nats: [`127.0.0.1:${ports.nats}`],
    backbone: {
      ca: read("backbone-ca.crt"),
      certificate: read("backbone-client.crt"),
      key: read("backbone-client.key"),
    },
    busHelp: "Run `npx pilot status`; read .cluster/logs/nats.log.",
  };
}

/** The cluster of an administrator's kubeconfig; undefined when it does not say how to reach the backbone. */
export function clusterOfKubeconfig(path: string): ClusterAddresses | undefined {
  const text = readFileSync(path, "utf8");
  const extension = kubeconfigExtension(text, path, EXTENSION) as Readonly<Record<string, unknown>> | undefined;
  if (extension === undefined) return undefined;
  const list = (name: string): readonly string[] => {
    const value = extension[name];
    if (!Array.isArray(value) || value.length === 0 || !value.every((entry) => typeof entry === "string"))
      throw new Error(`kubeconfig ${path}: ${EXTENSION} has no list of ${name}`);
    return value;
  };
  const pem = (name: string): string => {
    const value = extension[name];
    if (typeof value !== "string") throw new Error(`kubeconfig ${path}: ${EXTENSION} has no ${name}`);
    return Buffer.from(value, "base64").toString("utf8");
  };
  const api = parseKubeconfig(text, path);
  const etcd = list("etcd-servers");
  return {
    api,
    // Masters run an etcd member and an apiserver each, unless the file says otherwise.
    apiservers: "api-servers" in extension ? list("api-servers") : etcd.map((url) => onPortOf(api.server, url)),
    etcd,
    nats: list("nats-servers"),
    backbone: {
      ca: pem("certificate-authority-data"),
      certificate: pem("client-certificate-data"),
      key: pem("client-key-data"),
    },
    busHelp: `Run \`npx pilot --kubeconfig ${path} status\`.`,
  };
}

function onPortOf(server: string, url: string): string {
  return `https://${new URL(url).hostname}:${new URL(server).port || "443"}`;
}
