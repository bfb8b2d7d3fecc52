/**
 * The kubelet's own HTTPS server: logs, exec, attach, port-forward, its pods, its health and what it counts. Whom it answers
 * flows/access.ts decides, by a client certificate of the cluster's authority or a bearer token.
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Duplex } from "node:stream";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import type { Clock } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import type { Logger } from "@pilothouse/telemetry";
import { splice } from "@pilothouse/client/upgrade";
import { PeerCertificates } from "@pilothouse/process/peer-certificates";
import { createWebSocketStream, WebSocketServer, type WebSocket } from "ws";
import type { Offer } from "../core/carriage.ts";
import type { Access, KubeletAccess } from "../flows/access.ts";
import type { Channels } from "../flows/remote-command.ts";
import type { KubeletRequests } from "../flows/requests.ts";
import { spdyToRuntime, spliceToRuntime } from "./runtime-stream.ts";

export interface ServerPorts {
  readonly clock: Clock;
  readonly requests: Pick<KubeletRequests, "answer" | "stream">;
  readonly access: Pick<KubeletAccess, "judge">;
  readonly log: Logger;
  readonly scope: Scope;
}

export interface ServerOptions {
  readonly address: string;
  /** 0 = any that is free. */
  readonly port: number;
  readonly tls: ServerTls;
}

/** PEM texts; `clientCa` may hold several certificates. */
export interface ServerTls {
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string;
}

export interface KubeletServer {
  readonly port: number;
  /**
   * New content of the files: from now on connections are greeted with this certificate, and client certificates, those of open
   * connections too, are judged by these authorities.
   */
  renew(tls: ServerTls): void;
}

/** Go clients keep idle connections for 90 s; we must not close them first. */
const KEEP_ALIVE_MS = 120_000;
const PING_MS = 30_000;

/** Resolves once it listens. */
export async function serveKubelet(ports: ServerPorts, options: ServerOptions): Promise<KubeletServer> {
  const { tls } = options;
  const peers = new PeerCertificates(ports.clock, tls.clientCa);
  const judge = ({ socket, headers, method = "GET", url = "/" }: IncomingMessage): Promise<Access> => {
    const peer = peers.of(socket as TLSSocket);
    const certificate = peer.is === "good" ? peer : undefined;
    return ports.access.judge({ certificate, authorization: headers.authorization }, method, url);
  };
  const server = createServer(
    {
      ...secureContext(tls),
      requestCert: true,
      // Who has none may have a token instead.
      rejectUnauthorized: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      requestTimeout: 0,
    },
    (request, response) => {
      ports.scope.run("request", async () => {
        const access = await judge(request);
        if (access.is === "granted") await answer(ports, request, response);
        else end(response, access.status, access.body);
      });
    },
  );
  // The server forgets connections once they are upgraded, and would wait for their end for ever.
  const upgraded = new Set<Duplex>();
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    upgraded.add(socket);
    socket.on("close", () => upgraded.delete(socket));
    ports.scope.run("upgrade", async () => {
      const access = await judge(request);
      if (access.is === "granted") await upgrade(ports, request, socket, head);
      else refuse(socket, access);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.address, resolve);
  });
  ports.scope.defer(() => {
    for (const socket of upgraded) socket.destroy();
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : options.port,
    renew(renewed) {
      server.setSecureContext(secureContext(renewed));
      peers.trust(renewed.clientCa);
    },
  };
}

function secureContext({ certificate, key, clientCa }: ServerTls): SecureContextOptions {
  return { cert: certificate, key, ca: clientCa };
}

async function answer(ports: ServerPorts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  try {
    const { status, contentType, body } = await ports.requests.answer(request.url ?? "/", gone.signal);
    response.writeHead(status, { "content-type": contentType });
    if (typeof body === "string") {
      response.end(body);
      return;
    }
    // Whoever follows a log sees that it stands, before there is a first line.
    response.flushHeaders();
    for await (const chunk of body) {
      if (gone.signal.aborted) break;
      if (!response.write(chunk)) await drained(response);
    }
    response.end();
  } catch (error) {
    ports.log.warn("a request could not be answered", { url: request.url, error });
    if (response.headersSent) response.destroy();
    else end(response, 500, "Internal Server Error");
  }
}

/** Answers the request, and leaves the session to whoever it is for; never rejects. */
async function upgrade(ports: ServerPorts, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  try {
    const session = await ports.requests.stream(request.url ?? "/", offerOf(request));
    switch (session.how) {
      case "refuse": {
        const { status, body } = session.answer;
        refuse(socket, { status, body: typeof body === "string" ? body : "" }, session.acceptedProtocols);
        return;
      }
      case "speak": {
        const client = await accepted(request, socket, head, session.protocol);
        ports.scope.run("exec", () => session.run(channelsOf(ports.clock, client)));
        return;
      }
      case "splice":
        await spliceToRuntime(session.url, request, socket, head);
        return;
      case "tunnel": {
        const spdy = await spdyToRuntime(session.url);
        const client = await accepted(request, socket, head, session.protocol);
        splice(createWebSocketStream(client), spdy);
        return;
      }
    }
  } catch (error) {
    ports.log.warn("a request could not be answered", { url: request.url, error });
    refuse(socket, { status: 500, body: error instanceof Error ? error.message : String(error) });
  }
}

function offerOf({ headers }: IncomingMessage): Offer {
  const protocols = (headers["sec-websocket-protocol"] ?? "").split(",").map((it) => it.trim());
  return { upgrade: (headers.upgrade ?? "").toLowerCase(), protocols };
}

/**
 * The protocol has been chosen by now and is told by us: the package refuses the name of port-forward's, whose slash is no
 * character of a token.
 */
function accepted(request: IncomingMessage, socket: Duplex, head: Buffer, protocol: string): Promise<WebSocket> {
  const acceptor = new WebSocketServer({ noServer: true });
  acceptor.once("headers", (lines: string[]) => void lines.push(`Sec-WebSocket-Protocol: ${protocol}`));
  delete request.headers["sec-websocket-protocol"];
  return new Promise((resolve) => acceptor.handleUpgrade(request, socket, head, resolve));
}

function channelsOf(clock: Clock, client: WebSocket): Channels {
  let timer = clock.setTimer(PING_MS, ping);
  function ping(): void {
    client.ping();
    timer = clock.setTimer(PING_MS, ping);
  }
  client.on("close", () => timer.cancel());
  client.on("error", () => client.terminate());
  return {
    send: (frame) =>
      new Promise((resolve, reject) => {
        client.send(frame, { binary: true }, (error) => (error ? reject(error) : resolve()));
      }),
    frames: framesOf(client),
    end: () => client.close(1000),
  };
}

/** Frames in order; while one is being worked on the client is not read from. */
function framesOf(client: WebSocket): AsyncIterable<Uint8Array> {
  const waiting: Uint8Array[] = [];
  let wake = Promise.withResolvers<void>();
  let closed = false;
  client.on("message", (data: Buffer) => {
    waiting.push(data);
    client.pause();
    wake.resolve();
  });
  client.on("close", () => {
    closed = true;
    wake.resolve();
  });
  return {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        for (let frame = waiting.shift(); frame; frame = waiting.shift()) yield frame;
        if (closed) return;
        wake = Promise.withResolvers();
        client.resume();
        await wake.promise;
      }
    },
  };
}

function end(response: ServerResponse, status: number, text: string): void {
  if (!response.hasHeader("content-type")) response.setHeader("content-type", "text/plain");
  response.statusCode = status;
  response.end(text);
}

function refuse(
  socket: Duplex,
  { status, body }: { readonly status: number; readonly body: string },
  acceptedProtocols: readonly string[] = [],
): void {
  if (socket.destroyed) return;
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    ...acceptedProtocols.map((protocol) => `X-Accepted-Stream-Protocol-Versions: ${protocol}`),
    "Content-Type: text/plain",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    response.once("drain", resolve);
    response.once("close", resolve);
  });
}
