/** The door and clients that mean it no good: slow ones, greedy ones, ones that never read, ones that smuggle. */
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { connect, type TLSSocket } from "node:tls";
import type { ApiRequest, ApiResponse } from "@pilothouse/api/http";
import { sleep } from "@pilothouse/clock";
import { seededRandom } from "@pilothouse/clock/seeded";
import { systemClock } from "@pilothouse/clock/system";
import { createAuthority, issueCertificate, type KeyPair } from "@pilothouse/pki";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../../../test/harness/index.ts";
import { openDoor, type Door } from "./express-door.ts";
import { kubeletProxy } from "./kubelet-proxy.ts";

/** Short, so that nobody waits for minutes. */
const LIMITS = { headersMs: 400, requestMs: 800, stalledReaderMs: 500, allBodiesBytes: 4 << 20 } as const;

let door: Door;
let kubelet: Server;
let ca: KeyPair;
/** What the kubelet has read on connections that it never agreed to upgrade. */
let smuggled = "";
let serve: (request: ApiRequest) => Promise<ApiResponse>;
const kubelets = kubeletProxy({ certificate: undefined, key: undefined, ca: undefined });
const sockets = new Set<TLSSocket>();

beforeAll(async () => {
  const nowMs = systemClock.now();
  ca = await createAuthority({ commonName: "ca", validDays: 1, nowMs });
  const options = {
    commonName: "server",
    ipAddresses: ["127.0.0.1"],
    usages: ["server"],
    validDays: 1,
    nowMs,
  } as const;
  const server = await issueCertificate(ca, options);
  kubelet = createServer({ cert: server.certificatePem, key: server.privateKeyPem });
  kubelet.on("upgrade", (_request, socket: Duplex) => {
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => (smuggled += chunk.toString()));
    socket.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  });
  await new Promise<void>((resolve) => kubelet.listen(0, "127.0.0.1", resolve));
  const address = { node: "n", host: "127.0.0.1", port: (kubelet.address() as AddressInfo).port };
  door = await openDoor({
    bindAddress: "127.0.0.1",
    port: 0,
    tls: { certificate: server.certificatePem, key: server.privateKeyPem, clientCa: ca.certificatePem },
    handler: {
      handle: (request) => serve(request),
      upgrade: () => Promise.resolve({ target: { address, path: "/exec/a" } }),
    },
    kubelets,
    log: memoryTelemetry({ clock: systemClock, random: seededRandom("door") }).log,
    clock: systemClock,
    limits: LIMITS,
  });
});

afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  kubelets.close();
  await door.close(100);
  kubelet.closeAllConnections();
  await new Promise((resolve) => kubelet.close(resolve));
});

interface Client {
  readonly socket: TLSSocket;
  readonly closed: Promise<void>;
  text(): string;
}

async function client(options: { readonly reads?: boolean } = {}): Promise<Client> {
  const socket = connect({ host: "127.0.0.1", port: door.port, ca: ca.certificatePem });
  sockets.add(socket);
  socket.on("error", () => undefined);
  let text = "";
  if (options.reads === false) socket.pause();
  else socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  await new Promise<void>((resolve) => socket.once("secureConnect", resolve));
  return { socket, closed, text: () => text };
}

const fine = (request: ApiRequest): Promise<ApiResponse> =>
  Promise.resolve({
    status: 200,
    headers: {},
    body: Buffer.from(`${request.method} ${request.path} ${request.body.length}`),
  });

describe("slow clients", () => {
  it("are cut when their headers do not end", async () => {
    const slow = await client();
    slow.socket.write("GET / HTTP/1.1\r\nhost: a\r\n");
    const drip = setInterval(() => slow.socket.write("x: y\r\n"), 100);
    await slow.closed;
    clearInterval(drip);
    expect(slow.text()).toMatch(/^(HTTP\/1\.1 408 |$)/);
  });

  it("are cut when their body does not end", async () => {
    serve = fine;
    const slow = await client();
    slow.socket.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n");
    const drip = setInterval(() => slow.socket.write("x"), 100);
    await slow.closed;
    clearInterval(drip);
    expect(slow.text()).not.toContain("200 OK");
  });

  it("that stop reading a stream are cut, while one that reads slowly is not", async () => {
    const ended: string[] = [];
    const endless = (name: string): AsyncIterable<Uint8Array> =>
      (async function* () {
        try {
          for (;;) yield Buffer.alloc(256 * 1024);
        } finally {
          ended.push(name);
        }
      })();
    serve = ({ path }) => Promise.resolve({ status: 200, headers: {}, body: endless(path) });
    const stuck = await client({ reads: false });
    stuck.socket.write("GET /stuck HTTP/1.1\r\nhost: a\r\n\r\n");
    const slow = await client({ reads: false });
    slow.socket.write("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n");
    const sip = setInterval(() => slow.socket.read(64 * 1024), 20);
    await until("the stuck one is cut", () => ended.includes("/stuck"), 5_000);
    expect(ended).toEqual(["/stuck"]);
    clearInterval(sip);
    slow.socket.destroy();
    await until("the slow one has gone", () => ended.includes("/slow"), 5_000);
  });

  it("may pause for as long as they like over what is theirs to read at leisure", async () => {
    let isEnded = false;
    const log = (async function* () {
      try {
        for (;;) yield Buffer.alloc(256 * 1024);
      } finally {
        isEnded = true;
      }
    })();
    serve = () => Promise.resolve({ status: 200, headers: {}, body: log, isPatient: true });
    const reader = await client({ reads: false });
    reader.socket.write("GET /log HTTP/1.1\r\nhost: a\r\n\r\n");
    await sleep(systemClock, 3 * LIMITS.stalledReaderMs);
    expect(isEnded).toBe(false);
    reader.socket.destroy();
    await until("the log is let go", () => isEnded, 5_000);
  });
});

describe("greedy clients", () => {
  it("fill a room that is shared: who comes then is asked to come again", async () => {
    serve = fine;
    const half = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n";
    const first = await client();
    first.socket.write(half);
    first.socket.write(Buffer.alloc(2_900_000));
    await sleep(systemClock, 100);
    const second = await client();
    second.socket.write(half);
    second.socket.write(Buffer.alloc(2_900_000));
    await until("the second is refused", () => second.text().includes("429 Too Many Requests"));
    expect(second.text()).toMatch(/retry-after: 1\r\n/i);
    first.socket.write(Buffer.alloc(100_000));
    await until("the first is served", () => first.text().includes("POST / 3000000"));
    const third = await client();
    third.socket.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
    await until("there is room again", () => third.text().includes("POST / 3"));
  });

  it("with more than a megabyte of headers are cut with a 431", async () => {
    serve = () => Promise.reject(new Error("it was served"));
    const greedy = await client();
    greedy.socket.write(`GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(1_100_000)}\r\n\r\n`);
    await greedy.closed;
    // Who is still sending when the connection ends may not get to read why.
    expect(greedy.text()).toMatch(/^(HTTP\/1\.1 431 |$)/);
  });
});

describe("smugglers", () => {
  it.each([
    [
      "both lengths",
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
    ["two lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcde"],
    [
      "a folded header",
      "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
    ["a space before the colon", "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n"],
    ["a length that is no number", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +4\r\n\r\nabcd"],
    ["an unknown encoding", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"],
    ["bare line feeds", "GET / HTTP/1.1\nhost: a\n\nGET /hidden HTTP/1.1\nhost: a\n\n"],
    [
      "a chunk length beyond reason",
      "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ],
    ["no host", "GET / HTTP/1.1\r\n\r\n"],
    ["a null in a header", "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n"],
    ["another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ])("with %s are refused, and the connection ends", async (_, bytes) => {
    serve = fine;
    const smuggler = await client();
    smuggler.socket.write(bytes);
    await smuggler.closed;
    expect(smuggler.text()).not.toContain("hidden");
    expect(smuggler.text()).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("that pipeline get their answers in order", async () => {
    serve = fine;
    const piped = await client();
    piped.socket.write(
      "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    await until("all three are answered", () => piped.text().includes("GET /3"));
    expect(piped.text().match(/GET \/\d/g)).toEqual(["GET /1", "GET /2", "GET /3"]);
  });

  it("get nothing through an upgrade that the kubelet did not agree to", async () => {
    const smuggler = await client();
    smuggler.socket.write("GET /exec HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    await until("the kubelet's refusal arrives", () => smuggler.text().includes("403 Forbidden"));
    smuggler.socket.write("GET /containerLogs/kube-system/secret/c HTTP/1.1\r\nhost: a\r\n\r\n");
    await sleep(systemClock, 200);
    expect(smuggled).toBe("");
  });
});
