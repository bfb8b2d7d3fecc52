/** Questions that `up` and `status` ask of a running cluster. Each resolves to whether the part answers. */
import { execFile } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { ExplainedError, type ErrorId } from "./errors.ts";
import { CLUSTER_DOMAIN, DNS_SERVICE_IP, KUBERNETES_SERVICE_IP, type ClusterChoices, type Layout } from "./layout.ts";

const run = promisify(execFile);
const LOOK_AGAIN_MS = 50;

/** Asks until the answer is yes; throws with the log's last lines when it is not in time. */
export async function waitUntil(
  ask: () => Promise<boolean>,
  limitMs: number,
  failure: () => ExplainedError,
): Promise<void> {
  const startedMs = performance.now();
  while (!(await ask().catch(() => false))) {
    if (performance.now() - startedMs > limitMs) throw failure();
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** What to say when a process does not answer: its log's last lines. */
export function notAnswering(
  layout: Layout,
  process: string,
  id: ErrorId = "PH-130",
  what = `${process} does not answer.`,
): ExplainedError {
  const why = `The last lines of ${join(layout.logs, `${process}.log`)}:\n${lastLines(join(layout.logs, `${process}.log`), 6)}`;
  return new ExplainedError(id, what, { why });
}

export function etcdAnswers(layout: Layout, choices: ClusterChoices): Promise<boolean> {
  const [ca, cert, key] = ["backbone-ca.crt", "backbone-client.crt", "backbone-client.key"].map((file) =>
    join(layout.pki, file),
  );
  return answersHealth(`https://127.0.0.1:${choices.ports.etcdClient}/health`, { ca, cert, key }, (body) =>
    body.includes('"true"'),
  );
}

export function natsAnswers(choices: ClusterChoices): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(choices.ports.nats, "127.0.0.1");
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => settle(false));
    socket.once("error", () => settle(false));
    socket.once("data", (data) => settle(data.toString().startsWith("INFO ")));
  });
}

export async function containerdAnswers(layout: Layout): Promise<boolean> {
  await run("ctr", ["--address", layout.containerdSocket, "--timeout", "1s", "version"]);
  return true;
}

export function apiserverAnswers(layout: Layout, choices: ClusterChoices): Promise<boolean> {
  return asAdmin(layout, choices, "/readyz").then(({ status }) => status === 200);
}

export async function nodeIsReady(layout: Layout, choices: ClusterChoices): Promise<boolean> {
  const { status, body } = await asAdmin(layout, choices, `/api/v1/nodes/${choices.nodeName}`);
  if (status !== 200) return false;
  const node = JSON.parse(body) as { status?: { conditions?: { type: string; status: string }[] } };
  return node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

export async function dnsAnswers(): Promise<boolean> {
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([DNS_SERVICE_IP]);
  const addresses = await resolver.resolve4(`kubernetes.default.svc.${CLUSTER_DOMAIN}`);
  return addresses.includes(KUBERNETES_SERVICE_IP);
}

/** A request with the administrator's certificate: a GET, or a POST of `object`. */
export function asAdmin(
  layout: Layout,
  choices: ClusterChoices,
  path: string,
  object?: object,
): Promise<{ status: number; body: string }> {
  const [ca, cert, key] = ["cluster-ca.crt", "admin.crt", "admin.key"].map((file) => join(layout.pki, file));
  return ask(`https://127.0.0.1:${choices.ports.apiserver}${path}`, { ca, cert, key }, object);
}

interface TlsFiles {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

async function answersHealth(url: string, files: TlsFiles, isHealthy: (body: string) => boolean): Promise<boolean> {
  const { status, body } = await ask(url, files);
  return status === 200 && isHealthy(body);
}

function ask(url: string, files: TlsFiles, object?: object): Promise<{ status: number; body: string }> {
  const read = (file: string | undefined): Buffer => readFileSync(file as string);
  const tls = { ca: read(files.ca), cert: read(files.cert), key: read(files.key) };
  const posts = { method: "POST", headers: { "Content-Type": "application/json" } };
  return new Promise((resolve, reject) => {
    const options = { agent: false, timeout: 2_000, ...tls, ...(object ? posts : {}) };
    const outgoing = request(url, options, (answer) => {
      let body = "";
      answer.setEncoding("utf8").on("data", (part: string) => (body += part));
      answer.once("end", () => resolve({ status: answer.statusCode ?? 0, body }));
      answer.once("error", reject);
    });
    outgoing.once("timeout", () => outgoing.destroy(new Error("no answer")));
    outgoing.once("error", reject);
    outgoing.end(object && JSON.stringify(object));
  });
}

function lastLines(file: string, count: number): string {
  try {
    const lines = readFileSync(file, "utf8").trimEnd().split("\n").slice(-count);
    return lines.map((line) => `          ${line.slice(0, 300)}`).join("\n");
  } catch {
    return "          (there is no log yet)";
  }
}
