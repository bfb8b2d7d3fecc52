/** Requests handed on over real sockets: to a plain server, to one with a certificate of its own, and to a kubelet. */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import type { ApiResponse } from "@pilothouse/api/http";
import { systemClock } from "@pilothouse/clock/system";
import { createAuthority, issueCertificate, type KeyPair } from "@pilothouse/pki";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ForwardedRequest } from "../flows/node-proxy.ts";
import { kubeletProxy, type KubeletProxy } from "./kubelet-proxy.ts";

let plain: Server;
let secured: Server;
let proxy: KubeletProxy;

beforeAll(async () => {
  const nowMs = systemClock.now();
  const ca = await createAuthority({ commonName: "ca", validDays: 1, nowMs });
  const own = await createAuthority({ commonName: "somebody's own", validDays: 1, nowMs });
  const usages = ["client", "server"] as const;
  const leaf = (authority: KeyPair, commonName: string) =>
    issueCertificate(authority, { commonName, ipAddresses: ["127.0.0.1"], usages, validDays: 1, nowMs });
  const server = await leaf(own, "server");
  const apiserver = await leaf(ca, "kube-apiserver");
  plain = await listening(createHttpServer(answer));
  secured = await listening(
    createHttpsServer(
      { cert: server.certificatePem, key: server.privateKeyPem, requestCert: true, rejectUnauthorized: false },
      answer,
    ),
  );
  const { certificatePem: certificate, privateKeyPem: key } = apiserver;
  proxy = kubeletProxy({ certificate, key, ca: ca.certificatePem });
});
afterAll(async () => {
  proxy.close();
  await Promise.all([plain, secured].map((server) => new Promise((resolve) => server.close(resolve))));
});

/** Tells what it was asked, by whom. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const { method, url, headers, socket } = request;
    const certificate = "getPeerCertificate" in socket ? (socket as unknown as Peer).getPeerCertificate() : {};
    const text = JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString(), certificate });
    response.writeHead(url === "/teapot" ? 418 : 200, { "set-cookie": ["a=1", "b=2"], "content-length": text.length });
    response.end(text);
  });
}

interface Peer {
  getPeerCertificate(): { readonly subject?: { readonly CN?: string } };
}

async function listening<T extends Server>(server: T): Promise<T> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

function ask(server: Server, over: "http" | "https" | undefined, more: Partial<ForwardedRequest> = {}) {
  const { port } = server.address() as AddressInfo;
  const address = { node: "n", host: "127.0.0.1", port, ...(over ? { over } : {}) };
  const request = { address, method: "GET", path: "/", headers: {}, body: new Uint8Array(), ...more };
  return proxy.forward(request, new AbortController().signal);
}

async function told({ body }: ApiResponse): Promise<Record<string, unknown>> {
  if (body instanceof Uint8Array) throw new Error("no stream");
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
}

describe("a request that is handed on", () => {
  it.each(["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])("keeps method, path, headers and body: %s", async (method) => {
    const headers = { host: "api:6443", "x-a": "1", "content-length": "4" };
    const got = await ask(plain, "http", { method, path: "/a%2Fb//?q=%20", headers, body: Buffer.from("body") });
    expect(got).toMatchObject({ status: 200, headers: { "set-cookie": ["a=1", "b=2"] } });
    expect(await told(got)).toMatchObject({ method, url: "/a%2Fb//?q=%20", headers, body: "body" });
  });

  it("gets a HEAD's length without a body, and any status as it is", async () => {
    const head = await ask(plain, "http", { method: "HEAD" });
    expect(Number(head.headers["content-length"])).toBeGreaterThan(10);
    expect(head.body).toHaveLength(0);
    expect((await ask(plain, "http", { path: "/teapot" })).status).toBe(418);
  });

  it("trusts any certificate of a pod's and shows none; a kubelet's is judged", async () => {
    expect(await told(await ask(secured, "https"))).toMatchObject({ certificate: {} });
    expect(await told(await ask(secured, "https"))).not.toHaveProperty("certificate.subject");
    await expect(ask(secured, undefined)).rejects.toThrow(/certificate/);
  });

  it("is refused where nobody listens", async () => {
    const gone = await listening(createHttpServer());
    const { port } = gone.address() as AddressInfo;
    await new Promise((resolve) => gone.close(resolve));
    const address = { node: "", host: "127.0.0.1", port, over: "http" } as const;
    await expect(ask(plain, "http", { address })).rejects.toThrow("ECONNREFUSED");
  });
});
