/** How a soak reaches the cluster: through the address that everybody uses, each master by itself, and etcd past all of us. */
import { readFileSync } from "node:fs";
import { httpsTransport } from "@pilothouse/client/https";
import { loadKubeconfig } from "@pilothouse/client/kubeconfig";
import type { Clock } from "@pilothouse/clock";
import { parseDocument } from "yaml";
import { etcdAt, type EtcdReader } from "../../history/etcd-reader.ts";
import { ask, type Answer } from "../../history/config-maps.ts";
import type { Door } from "../../history/writers.ts";

export interface Access {
  readonly clock: Clock;
  /** Through the kubeconfig's own address. */
  readonly front: Door;
  /** Each apiserver by itself. */
  readonly doors: readonly Door[];
  /** Of each etcd member; one that failed is asked last. */
  readonly etcd: EtcdReader[];
  close(): Promise<void>;
}

interface Backbone {
  readonly "etcd-servers": readonly string[];
  readonly "certificate-authority-data": string;
  readonly "client-certificate-data": string;
  readonly "client-key-data": string;
}

const BACKBONE = "pilothouse.io/backbone";

/** Of a kubeconfig that the playbooks wrote: it also says how to reach etcd, and so where the masters are. Throws where it does not. */
export function accessOf(kubeconfig: string, clock: Clock): Access {
  const config = loadKubeconfig(kubeconfig);
  const backbone = backboneOf(kubeconfig);
  const doorTo = (server: string): Door => ({ server, transport: httpsTransport({ ...config, server, clock }) });
  const front = doorTo(config.server);
  const doors = backbone["etcd-servers"].map((url) => doorTo(`https://${new URL(url).hostname}:6443`));
  return {
    clock,
    front,
    doors,
    etcd: readers(backbone, clock),
    close: async () => void (await Promise.all([front, ...doors].map(({ transport }) => transport.close()))),
  };
}

/** Asks one door after the other until one answers for good, each for at most `deadlineMs`; throws what the last one said. */
export async function askAny(
  { clock, doors, front }: Access,
  method: string,
  path: string,
  body?: object,
  deadlineMs = 5_000,
): Promise<Answer> {
  let failure: unknown;
  for (const { transport } of [front, ...doors]) {
    const content = body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) };
    const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const answer = await ask(
      transport,
      clock,
      { method, path, headers: { "content-type": type }, ...content },
      deadlineMs,
    ).catch((error: unknown) => void (failure = error));
    if (answer && answer.status < 500 && answer.status !== 429) return answer;
    if (answer)
      failure = new Error(`${method} ${path}: ${answer.status} ${Buffer.from(answer.body).toString().slice(0, 200)}`);
  }
  throw failure instanceof Error ? failure : new Error(`${method} ${path}: no answer`);
}

export async function getJson<T>(access: Access, path: string): Promise<T> {
  const { status, body } = await askAny(access, "GET", path);
  const text = Buffer.from(body).toString();
  if (status !== 200) throw new Error(`GET ${path}: ${status} ${text.slice(0, 200)}`);
  return JSON.parse(text) as T;
}

/** The first etcd member that answers. */
export async function withEtcd<T>({ etcd }: Access, work: (member: EtcdReader) => Promise<T>): Promise<T> {
  let failure: unknown;
  for (const member of etcd.slice()) {
    try {
      return await work(member);
    } catch (error) {
      failure = error;
      if (etcd[0] === member) etcd.push(...etcd.splice(0, 1));
    }
  }
  throw failure;
}

function backboneOf(kubeconfig: string): Backbone {
  const config = parseDocument(readFileSync(kubeconfig, "utf8")).toJS() as {
    readonly extensions?: readonly { readonly name: string; readonly extension: Backbone }[];
  };
  const found = config.extensions?.find(({ name }) => name === BACKBONE);
  if (!found) throw new Error(`${kubeconfig} does not say how to reach etcd: it has no extension ${BACKBONE}`);
  return found.extension;
}

function readers(backbone: Backbone, clock: Clock): EtcdReader[] {
  const pem = (data: string): Buffer => Buffer.from(data, "base64");
  const tls = {
    ca: pem(backbone["certificate-authority-data"]),
    cert: pem(backbone["client-certificate-data"]),
    key: pem(backbone["client-key-data"]),
  };
  return backbone["etcd-servers"].map((server) => etcdAt(server, clock, tls));
}
