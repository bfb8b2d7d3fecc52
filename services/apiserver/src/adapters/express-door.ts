/**
 * The HTTPS door: express on Node's TLS server. It verifies client certificates, bounds bodies, streams answers with
 * back-pressure, and hands protocol upgrades on; everything that is Kubernetes is the handler's.
 *
 * ALPN offers http/1.1 alone: HTTP/2 must never reach express. Limits: door-limits.ts.
 */
import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import type { ApiRequest, ApiResponse, Peer } from "@pilothouse/api/http";
import type { Clock } from "@pilothouse/clock";
import { StatusError } from "@pilothouse/errors";
import { PeerCertificates } from "@pilothouse/process/peer-certificates";
import type { Logger } from "@pilothouse/telemetry";
import express from "express";
import type { Handler } from "../flows/handle.ts";
import { DOOR_LIMITS, type DoorLimits } from "./door-limits.ts";
import type { KubeletConnector } from "./kubelet-proxy.ts";
import { acceptsGzip, compressed } from "./compress.ts";
import { BodyReader } from "./request-body.ts";
import { send } from "./send.ts";
import { tunnel } from "./upgrade.ts";
import { sendMessages } from "./websocket.ts";

export interface DoorOptions {
  readonly bindAddress: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly tls: DoorTls;
  readonly handler: Handler;
  readonly kubelets: KubeletConnector;
  readonly log: Logger;
  readonly clock: Clock;
  /** Tests have no minutes to wait. */
  readonly limits?: Partial<DoorLimits>;
}

/** PEM texts; `clientCa` may hold several certificates. */
export interface DoorTls {
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string;
}

export interface Door {
  readonly port: number;
  /**
   * New content of the files: from now on connections are greeted with this certificate, and client certificates, those of open
   * connections too, are judged by these authorities.
   */
  renew(tls: DoorTls): void;
  /** Takes no new connections, ends idle ones and those whose request is answered, and gives running requests this long. */
  close(graceMs: number): Promise<void>;
}

/** How late a limit of time may be noticed. */
const LIMITS_CHECKED_EVERY_MS = 5_000;

/** Of every handshake; must be said again whenever the certificate is. */
const TLS_OPTIONS = { minVersion: "TLSv1.2" } as const;

export async function openDoor(options: DoorOptions): Promise<Door> {
  const { log, tls } = options;
  const limits = { ...DOOR_LIMITS, ...options.limits };
  const bodies = new BodyReader(limits);
  const peers = new PeerCertificates(options.clock, tls.clientCa);
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  let isClosing = false;
  app.use((request: IncomingMessage, response: ServerResponse) => {
    // Else a client that asks again and again, as one does whose watch has ended, keeps its connection and this door open.
    response.on("finish", () => void (isClosing && request.socket.destroySoon()));
    answer({ ...options, limits, peers }, bodies, request, response).catch((error: unknown) => {
      log.warn("an answer was cut short", { error });
      response.destroy();
    });
  });

  const server = createServer(
    {
      ...secureContext(tls),
      requestCert: true,
      // Without a certificate, or with a wrong one, a client may still bring a token.
      rejectUnauthorized: false,
      ALPNProtocols: ["http/1.1"],
      maxHeaderSize: limits.headerBytes,
      handshakeTimeout: limits.headersMs,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      connectionsCheckingInterval: Math.min(LIMITS_CHECKED_EVERY_MS, limits.headersMs / 2),
      keepAliveTimeout: limits.idleMs,
      keepAlive: true,
      keepAliveInitialDelay: limits.probeMs,
      noDelay: true,
    },
    app,
  );
  server.timeout = 0;
  const tunnels = new Set<Duplex>();
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    tunnels.add(socket);
    socket.on("close", () => tunnels.delete(socket));
    socket.on("error", () => socket.destroy());
    upgrade({ ...options, peers }, request, socket, head).catch((error: unknown) => {
      log.warn("an upgrade failed", { error });
      socket.destroy();
    });
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  await listening(server, options);
  return {
    port: (server.address() as AddressInfo).port,
    renew(renewed) {
      server.setSecureContext(secureContext(renewed));
      peers.trust(renewed.clientCa);
    },
    close(graceMs) {
      isClosing = true;
      return closed(server, tunnels, options.clock, graceMs);
    },
  };
}

type Answering = DoorOptions & { readonly peers: PeerCertificates };

async function answer(
  { handler, clock, peers, limits: { stalledReaderMs } }: Answering & { readonly limits: DoorLimits },
  bodies: BodyReader,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished) gone.abort(new Error("the client has gone"));
  });
  const takesGzip = acceptsGzip(request.headers["accept-encoding"]?.toString());
  const reply = async (it: ApiResponse): Promise<void> =>
    send(response, takesGzip ? await compressed(it) : it, { clock, stalledReaderMs, gone: gone.signal });
  try {
    await bodies.use(request, async (body) =>
      reply(await handler.handle(apiRequest(request, body, peers, gone.signal))),
    );
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    await reply(refusal(error));
  }
}

async function upgrade(
  { handler, kubelets, peers, clock }: Answering,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const gone = new AbortController();
  socket.on("close", () => gone.abort(new Error("the client has gone")));
  const judged = await handler.upgrade(apiRequest(request, new Uint8Array(), peers, gone.signal));
  if ("stream" in judged) await sendMessages(request, socket, head, judged.stream, judged.framing, clock);
  else await tunnel(judged, request, socket, head, kubelets);
}

function apiRequest(
  request: IncomingMessage,
  body: Uint8Array,
  peers: PeerCertificates,
  signal: AbortSignal,
): ApiRequest {
  const target = request.url ?? "/";
  const mark = target.indexOf("?");
  return {
    method: request.method ?? "GET",
    path: mark < 0 ? target : target.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? "" : target.slice(mark + 1)),
    rawQuery: mark < 0 ? "" : target.slice(mark + 1),
    headers: headersOf(request),
    body,
    peer: peerOf(request.socket as TLSSocket, peers),
    signal,
  };
}

function headersOf({ headers }: IncomingMessage): Readonly<Record<string, string>> {
  const joined: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) joined[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return joined;
}

function peerOf(socket: TLSSocket, peers: PeerCertificates): Peer {
  const address = socket.remoteAddress ?? "";
  const peer = peers.of(socket);
  switch (peer.is) {
    case "absent":
      return { address };
    case "bad":
      return { address, hasBadCertificate: true };
    case "good":
      return { address, certificate: peer };
  }
}

function secureContext({ certificate, key, clientCa }: DoorTls): SecureContextOptions {
  return { ...TLS_OPTIONS, cert: certificate, key, ca: clientCa };
}

function refusal(error: StatusError): ApiResponse {
  const seconds = error.status.details?.retryAfterSeconds;
  return {
    status: error.code,
    headers: {
      "content-type": "application/json",
      "cache-control": "no-cache, private",
      ...(seconds === undefined ? {} : { "retry-after": String(seconds) }),
    },
    body: Buffer.from(`${JSON.stringify(error.status)}\n`),
  };
}

function listening(server: Server, { bindAddress, port }: DoorOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, bindAddress, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function closed(server: Server, tunnels: ReadonlySet<Duplex>, clock: Clock, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = clock.setTimer(graceMs, () => {
      server.closeAllConnections();
      for (const socket of tunnels) socket.destroy();
    });
    server.close(() => {
      cut.cancel();
      resolve();
    });
    server.closeIdleConnections();
  });
}
