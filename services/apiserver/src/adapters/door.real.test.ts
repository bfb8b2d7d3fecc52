/** The door on loopback: certificates, limits, streams, and a tunnel to a kubelet that is a small HTTPS server here. */
import { createHash, X509Certificate } from "node:crypto";
import { Agent, createServer, request as httpsRequest, type RequestOptions, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { gunzipSync } from "node:zlib";
import type { ApiRequest, ApiResponse } from "@pilothouse/api/http";
import { systemClock } from "@pilothouse/clock/system";
import { seededRandom } from "@pilothouse/clock/seeded";
import { createAuthority, issueCertificate, type KeyPair } from "@pilothouse/pki";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { until } from "../../../../test/harness/index.ts";
import type { Handler } from "../flows/handle.ts";
import { openDoor, type Door } from "./express-door.ts";
import { kubeletProxy } from "./kubelet-proxy.ts";

let door: Door;
let kubelet: Server;
let kubeletPort = 0;
let ca: KeyPair;
let alice: KeyPair;
let stranger: KeyPair;
/** What a client of a WebSocket is sent. */
let stream: () => AsyncIterable<Uint8Array>;
let serve: (request: ApiRequest) => Promise<ApiResponse>;
const kubelets = kubeletProxy({ certificate: undefined, key: undefined, ca: undefined });

beforeAll(async () => {
  const nowMs = systemClock.now();
  ca = await createAuthority({ commonName: "ca", validDays: 1, nowMs });
  const otherCa = await createAuthority({ commonName: "other", validDays: 1, nowMs });
  const leaf = (authority: KeyPair, commonName: string) =>
    issueCertificate(authority, {
      commonName,
      organizations: ["devs", "ops"],
      ipAddresses: ["127.0.0.1"],
      usages: ["client", "server"],
      validDays: 1,
      nowMs,
    });
  const server = await leaf(ca, "server");
  alice = await leaf(ca, "alice");
  stranger = await leaf(otherCa, "alice");
  kubelet = createServer({ cert: server.certificatePem, key: server.privateKeyPem });
  kubelet.on("upgrade", (request, socket: Duplex) => {
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n${request.url} `);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => kubelet.listen(0, "127.0.0.1", resolve));
  kubeletPort = (kubelet.address() as AddressInfo).port;
  const handler: Handler = {
    handle: (request) => serve(request),
    upgrade: ({ path, query }) =>
      Promise.resolve(
        path === "/stream"
          ? {
              stream: { status: 200, headers: {}, body: stream() },
              framing: { protocol: "mine", messages: query.get("as") as "binary" | "base64" | "lines" },
            }
          : path === "/refused"
            ? { refusal: { status: 403, headers: {}, body: Buffer.from("no") } }
            : {
                target: {
                  address: { node: "n", host: "127.0.0.1", port: kubeletPort },
                  path: "/exec/a?command=ls&command=-l",
                },
              },
      ),
  };
  door = await openDoor({
    bindAddress: "127.0.0.1",
    port: 0,
    tls: { certificate: server.certificatePem, key: server.privateKeyPem, clientCa: ca.certificatePem },
    handler,
    kubelets,
    log: memoryTelemetry({ clock: systemClock, random: seededRandom("door") }).log,
    clock: systemClock,
  });
});

afterAll(async () => {
  kubelets.close();
  await door.close(100);
  await new Promise((resolve) => kubelet.close(resolve));
});

interface Got {
  readonly bytes: Buffer;
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

function ask(options: RequestOptions, body?: Uint8Array): Promise<Got> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      { host: "127.0.0.1", port: door.port, ca: ca.certificatePem, agent: false, ...options },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () =>
          resolve({
            bytes: Buffer.concat(chunks),
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(chunks).toString("utf8"),
          }),
        );
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

const echo = (request: ApiRequest): Promise<ApiResponse> =>
  Promise.resolve({
    status: 200,
    headers: { "content-type": "application/json", warning: ['299 - "a"', '299 - "b"'] },
    body: Buffer.from(
      JSON.stringify({ ...request, query: request.query.getAll("command"), body: request.body.length }),
    ),
  });

describe("the door", () => {
  it("vouches for certificates of the client CA only", async () => {
    serve = echo;
    const known = await ask({ cert: alice.certificatePem, key: alice.privateKeyPem });
    expect(JSON.parse(known.text)).toMatchObject({
      peer: {
        certificate: {
          commonName: "alice",
          organizations: ["devs", "ops"],
          sha256: createHash("sha256").update(new X509Certificate(alice.certificatePem).raw).digest("hex"),
        },
      },
    });
    const bad = JSON.parse((await ask({ cert: stranger.certificatePem, key: stranger.privateKeyPem })).text) as object;
    expect(bad).toMatchObject({ peer: { hasBadCertificate: true } });
    expect(JSON.parse((await ask({})).text)).not.toHaveProperty("peer.certificate");
  });

  it("keeps path, order of parameters and several warnings, and names no software", async () => {
    serve = echo;
    const got = await ask({ path: "/a%2Fb?command=ls&command=-l" });
    expect(JSON.parse(got.text)).toMatchObject({ path: "/a%2Fb", query: ["ls", "-l"] });
    expect(got.headers["x-powered-by"]).toBeUndefined();
    expect(got.headers["etag"]).toBeUndefined();
    expect(String(got.headers["warning"])).toBe('299 - "a", 299 - "b"');
  });

  it("takes 3 MiB and refuses more, in a way that the client can read", async () => {
    serve = echo;
    expect(JSON.parse((await ask({ method: "POST" }, Buffer.alloc(3 << 20))).text)).toMatchObject({ body: 3 << 20 });
    const refused = await ask({ method: "POST" }, Buffer.alloc(8 << 20));
    expect(refused.status).toBe(413);
    expect(refused.text).toContain('"reason":"RequestEntityTooLarge"');
  });

  it("packs what is long for clients that take gzip, and nothing for others", async () => {
    const long = Buffer.alloc(300_000, "abcd");
    async function* frames(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < long.length; at += 50_000) yield long.subarray(at, at + 50_000);
    }
    const headers = { "content-type": "application/json", "content-length": String(long.length) };
    serve = ({ path }) =>
      Promise.resolve({ status: 200, headers, body: path === "/list" ? frames() : long, mayBeCompressed: true });
    for (const path of ["/list", "/whole"]) {
      const packed = await ask({ path, headers: { "accept-encoding": "gzip" } });
      expect(packed.headers).toMatchObject({ "content-encoding": "gzip", vary: "Accept-Encoding" });
      expect(packed.bytes.length).toBeLessThan(10_000);
      expect(gunzipSync(packed.bytes).equals(long)).toBe(true);
      const plain = await ask({ path });
      expect(plain.headers["content-encoding"]).toBeUndefined();
      expect(plain.bytes.equals(long)).toBe(true);
    }
  });

  it("flushes the head of a stream before its first frame, and ends the stream when the client goes", async () => {
    let ended: () => void = () => undefined;
    const end = new Promise<void>((resolve) => (ended = resolve));
    serve = (request) =>
      Promise.resolve({
        status: 200,
        headers: {},
        body: (async function* () {
          try {
            await new Promise((_, reject) => {
              request.signal.addEventListener("abort", () => reject(new Error("gone")), { once: true });
            });
            yield new Uint8Array();
          } finally {
            ended();
          }
        })(),
      });
    await new Promise<void>((resolve, reject) => {
      const request = httpsRequest(
        { host: "127.0.0.1", port: door.port, ca: ca.certificatePem, agent: false },
        (response) => {
          expect(response.statusCode).toBe(200);
          response.on("error", () => undefined);
          request.destroy();
          resolve();
        },
      );
      request.on("error", reject);
      request.end();
    });
    await end;
  });

  it("tunnels an agreed upgrade to the kubelet and refuses the others", async () => {
    const upgraded = await new Promise<string>((resolve, reject) => {
      const request = httpsRequest({
        host: "127.0.0.1",
        port: door.port,
        ca: ca.certificatePem,
        agent: false,
        path: "/exec",
        headers: { connection: "Upgrade", upgrade: "echo" },
      });
      request.on("upgrade", (_response, socket: Duplex, head: Buffer) => {
        let text = head.toString("utf8");
        socket.on("data", (chunk: Buffer) => {
          text += chunk.toString("utf8");
          if (text.endsWith("hello")) {
            socket.destroy();
            resolve(text);
          }
        });
        socket.write("hello");
      });
      request.on("error", reject);
      request.end();
    });
    expect(upgraded).toBe("/exec/a?command=ls&command=-l hello");
    const refused = await ask({ path: "/refused", headers: { connection: "Upgrade", upgrade: "echo" } });
    expect(refused).toMatchObject({ status: 403, text: "no" });
  });

  it("puts a stream into messages, to the end", async () => {
    stream = async function* () {
      yield Buffer.from('{"a":1}\n{"b"');
      yield Buffer.from(":2}\n");
      await Promise.resolve();
    };
    const messages = async (as: string): Promise<unknown[]> => {
      const socket = new WebSocket(`wss://127.0.0.1:${door.port}/stream?as=${as}`, ["mine"], { ca: ca.certificatePem });
      const got: unknown[] = [];
      socket.on("message", (data: Buffer, isBinary) => got.push(isBinary ? data : data.toString("utf8")));
      const [code] = (await once(socket, "close")) as [number];
      expect([code, socket.protocol]).toEqual([1000, "mine"]);
      return got;
    };
    expect(await messages("lines")).toEqual(['{"a":1}\n', '{"b":2}\n']);
    expect(await messages("binary")).toEqual(["", Buffer.from('{"a":1}\n{"b"'), Buffer.from(":2}\n")]);
    expect(await messages("base64")).toEqual(["", "eyJhIjoxfQp7ImIi", "OjJ9Cg=="]);
  });

  it("lets go of a stream whose client has gone", async () => {
    const ended = Promise.withResolvers<void>();
    stream = async function* () {
      try {
        for (;;) {
          yield Buffer.from("line\n");
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      } finally {
        ended.resolve();
      }
    };
    const socket = new WebSocket(`wss://127.0.0.1:${door.port}/stream?as=lines`, ["mine"], { ca: ca.certificatePem });
    await once(socket, "message");
    socket.terminate();
    await ended.promise;
  });

  it("closes though clients whose watch has ended ask again at once on the connection that they have", async () => {
    const order = Promise.withResolvers<void>();
    let watches = 0;
    const body = async function* () {
      watches++;
      yield Buffer.from("{}\n");
      await order.promise;
    };
    serve = () => Promise.resolve({ status: 200, headers: {}, body: body() });
    const agent = new Agent({ keepAlive: true });
    const watchUntilRefused = async (): Promise<void> => {
      for (let isServed = true; isServed;) isServed = await ask({ agent }).then(isAnswer, () => false);
    };
    const clients = Array.from({ length: 20 }, watchUntilRefused);
    await until("all are being served", () => watches === clients.length);
    const startMs = systemClock.monotonicMs();
    const closed = door.close(20_000);
    order.resolve();
    await closed;
    expect(systemClock.monotonicMs() - startMs).toBeLessThan(5_000);
    await Promise.all(clients);
    agent.destroy();
  });
});

function isAnswer({ status }: Got): boolean {
  return status === 200;
}
