/**
 * The kubelet's own HTTPS server: logs, exec, its pods, its health. It answers the API server alone, known by a client
 * certificate of the cluster's authority with the right name on it.
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Clock } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import type { Logger } from "@pilothouse/telemetry";
import { WebSocketServer, type WebSocket } from "ws";
import { REMOTE_COMMAND_PROTOCOLS } from "../core/remote-command.ts";
import type { Channels } from "../flows/remote-command.ts";
import type { KubeletRequests } from "../flows/requests.ts";

export interface ServerPorts {
  readonly clock: Clock;
  readonly requests: KubeletRequests;
  readonly log: Logger;
  readonly scope: Scope;
}

export interface ServerOptions {
  readonly address: string;
  /** 0 = any that is free. */
  readonly port: number;
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string;
  /** Common names of the certificates that are let in. */
  readonly clients: readonly string[];
}

/** Go clients keep idle connections for 90 s; we must not close them first. */
const KEEP_ALIVE_MS = 120_000;
const PING_MS = 30_000;

/** Resolves with the port once it listens. */
export async function serveKubelet(ports: ServerPorts, options: ServerOptions): Promise<number> {
  const { certificate: cert, key, clientCa: ca, clients } = options;
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => chosenProtocol(offered) ?? false,
  });
  const server = createServer(
    { cert, key, ca, requestCert: true, rejectUnauthorized: true, keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 },
    (request, response) => {
      if (isAllowed(request, clients)) ports.scope.run("request", () => answer(ports, request, response));
      else end(response, 403, "Forbidden");
    },
  );
  // The server forgets connections once they are upgraded, and would wait for their end for ever.
  const upgraded = new Set<Duplex>();
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    upgraded.add(socket);
    socket.on("close", () => upgraded.delete(socket));
    try {
      if (isAllowed(request, clients)) upgrade(ports, sockets, request, socket, head);
      else refuse(socket, 403, "Forbidden");
    } catch (error) {
      ports.log.warn("a request could not be answered", { url: request.url, error });
      refuse(socket, 400, "Bad Request");
    }
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
  return typeof address === "object" && address ? address.port : options.port;
}

function isAllowed(request: IncomingMessage, clients: readonly string[]): boolean {
  const { subject } = (request.socket as TLSSocket).getPeerCertificate();
  const name = subject?.CN;
  return typeof name === "string" && clients.includes(name);
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

function upgrade(
  ports: ServerPorts,
  sockets: WebSocketServer,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((it) => it.trim());
  const command = ports.requests.command(request.url ?? "/");
  if ("status" in command) refuse(socket, command.status, typeof command.body === "string" ? command.body : "");
  else if (!chosenProtocol(new Set(offered))) refuse(socket, 403, "no protocol in common");
  else {
    sockets.handleUpgrade(request, socket, head, (client) => {
      ports.scope.run("exec", () => command.run(channelsOf(ports.clock, client)));
    });
  }
}

/** The newest that both know. */
function chosenProtocol(offered: ReadonlySet<string>): string | undefined {
  return REMOTE_COMMAND_PROTOCOLS.find((it) => offered.has(it));
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

function refuse(socket: Duplex, status: number, text: string): void {
  const protocols =
    status === 403 ? `X-Accepted-Stream-Protocol-Versions: ${REMOTE_COMMAND_PROTOCOLS.join(",")}\r\n` : "";
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${protocols}Content-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
  );
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    response.once("drain", resolve);
    response.once("close", resolve);
  });
}
