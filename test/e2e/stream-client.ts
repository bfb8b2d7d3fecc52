/**
 * Clients of streams that are libraries, not programs; runs on the node: `node test/e2e/stream-client.ts <namespace> <pod>` with
 * KUBECONFIG set. Prints what each has seen, or its error, as one JSON object.
 */
import { readFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import { connect as tlsConnect } from "node:tls";
import { Attach, Exec, KubeConfig, PortForward, type V1Status } from "@kubernetes/client-node";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { WebSocket } from "ws";

const [namespace = "", pod = ""] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromFile(process.env["KUBECONFIG"] ?? "");
const PATIENCE_MS = 15_000;

const seen: Record<string, unknown> = {};
for (const look of [names, frames, exec, attach, forward]) {
  seen[look.name] = await look().catch((error: unknown) => ({ error: String(error) }));
}
process.stdout.write(JSON.stringify(seen));
process.exit(0);

/** client-node's exec, with input that ends. */
async function exec(): Promise<object> {
  const [stdin, stdout, stderr] = [new PassThrough(), collector(), collector()];
  const ended = Promise.withResolvers<V1Status>();
  const command = ["sh", "-c", "wc -c; echo err >&2; exit 3"];
  const socket = await new Exec(config).exec(namespace, pod, "box", command, stdout, stderr, stdin, false, (status) =>
    ended.resolve(status),
  );
  stdin.end("twelve bytes");
  const { status, reason, details } = await ended.promise;
  return { protocol: socket.protocol, stdout: stdout.text(), stderr: stderr.text(), status, reason, details };
}

/** client-node's attach to a container that answers each line. */
async function attach(): Promise<object> {
  const [stdin, stdout] = [new PassThrough(), collector()];
  const socket = await new Attach(config).attach(namespace, pod, "echo", stdout, null, stdin, false);
  stdin.write("hello\n");
  await untilText(stdout, "got hello\n");
  socket.close();
  return { protocol: socket.protocol, stdout: stdout.text() };
}

/** client-node's port-forward: one request to a web server. */
async function forward(): Promise<object> {
  const [stdin, stdout] = [new PassThrough(), collector()];
  const socket = await new PortForward(config).portForward(namespace, pod, [80], stdout, null, stdin);
  if (typeof socket === "function") throw new Error("a socket was expected");
  stdin.write("GET /version HTTP/1.0\r\n\r\n");
  await untilText(stdout, "v1\n");
  socket.close();
  return { protocol: socket.protocol, stdout: stdout.text() };
}

/** kubectl's exec as it is on the wire: v5, binary frames, a half-close, a Status, an end. */
async function frames(): Promise<object> {
  const query = "command=sh&command=-c&command=cat%3B+exit+3&container=box&stdin=true&stdout=true&stderr=true";
  const server = config.getCurrentCluster()?.server.replace(/^http/, "ws") ?? "";
  const url = `${server}/api/v1/namespaces/${namespace}/pods/${pod}/exec?${query}`;
  const socket = new WebSocket(url, ["v5.channel.k8s.io"], tls());
  const channels: Record<number, string> = {};
  const isBinary: boolean[] = [];
  socket.on("message", (data: Buffer, binary: boolean) => {
    isBinary.push(binary);
    channels[data[0] as number] = `${channels[data[0] as number] ?? ""}${data.subarray(1).toString()}`;
  });
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const pong = new Promise<boolean>((resolve) => socket.once("pong", () => resolve(true)));
  socket.ping();
  await pong;
  socket.send(Buffer.concat([Uint8Array.of(0), Buffer.from("through")]));
  socket.send(Uint8Array.of(255, 0));
  const code = await new Promise<number>((resolve) => socket.once("close", resolve));
  const status: unknown = JSON.parse(channels[3] ?? "null");
  return { protocol: socket.protocol, stdout: channels[1], status, code, allBinary: isBinary.every(Boolean) };
}

/** The names on the API's certificate. */
function names(): Promise<object> {
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({ host: "127.0.0.1", port: 6443, ...tls() }, () => {
      const { subjectaltname = "" } = socket.getPeerCertificate();
      socket.destroy();
      resolve(subjectaltname.split(", "));
    });
    socket.once("error", reject);
  });
}

function tls(): { ca: Buffer | string; cert: Buffer | string; key: Buffer | string } {
  const { caData, caFile } = config.getCurrentCluster() ?? {};
  const { certData, certFile, keyData, keyFile } = config.getCurrentUser() ?? {};
  const pem = (data: string | undefined, file: string | undefined): Buffer =>
    data === undefined ? readFileSync(file ?? "") : Buffer.from(data, "base64");
  return { ca: pem(caData, caFile), cert: pem(certData, certFile), key: pem(keyData, keyFile) };
}

function collector(): PassThrough & { text(): string } {
  const chunks: Buffer[] = [];
  const stream = new PassThrough();
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return Object.assign(stream, { text: () => Buffer.concat(chunks).toString() });
}

async function untilText(stream: { text(): string }, wanted: string): Promise<void> {
  const startMs = systemClock.monotonicMs();
  while (!stream.text().includes(wanted)) {
    if (systemClock.monotonicMs() - startMs > PATIENCE_MS) throw new Error(`only: ${stream.text()}`);
    await sleep(systemClock, 20);
  }
}
