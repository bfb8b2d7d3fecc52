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
import type { TLSSocket } from "node:tls";
import type { ApiRequest, ApiResponse, Peer } from "@pilothouse/api/http";
import type { Clock } from "@pilothouse/clock";
import { StatusError } from "@pilothouse/errors";
import type { Logger } from "@pilothouse/telemetry";
import express from "express";
import type { Handler } from "../flows/handle.ts";
import { DOOR_LIMITS, type DoorLimits } from "./door-limits.ts";
import type { KubeletConnector } from "./kubelet-proxy.ts";
import { BodyReader } from "./request-body.ts";
import { send } from "./send.ts";
import { tunnel } from "./upgrade.ts";

export interface DoorOptions {
  readonly bindAddress: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** PEM texts. */
  readonly tls: { readonly certificate: string; readonly key: string; readonly clientCa: string };
  readonly handler: Handler;
  readonly kubelets: KubeletConnector;
  readonly log: Logger;
  readonly clock: Clock;
  /** Tests have no minutes to wait. */
  readonly limits?: Partial<DoorLimits>;
}

export interface Door {
  readonly port: number;
  /** Takes no new connections, ends idle ones and those whose request is answered, and gives running requests this long. */
  close(graceMs: number): Promise<void>;
}

/** How late a limit of time may be noticed. */
const LIMITS_CHECKED_EVERY_MS = 5_000;

/** Where a connection keeps who is at its other end. */
const PEER = Symbol("peer");
type KnownSocket = TLSSocket & { [PEER]?: Peer };

export async function openDoor(options: DoorOptions): Promise<Door> {
  const { log, tls } = options;
  const limits = { ...DOOR_LIMITS, ...options.limits };
  const bodies = new BodyReader(limits);
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  let isClosing = false;
  app.use((request: IncomingMessage, response: ServerResponse) => {
    // Else a client that asks again and again, as one does whose watch has ended, keeps its connection and this door open.
    response.on("finish", () => void (isClosing && request.socket.destroySoon()));
    answer({ ...options, limits }, bodies, request, response).catch((error: unknown) => {
      log.warn("an answer was cut short", { error });
      response.destroy();
    });
  });

  const server = createServer(
    {
      cert: tls.certificate,
      key: tls.key,
      ca: tls.clientCa,
      requestCert: true,
      // Without a certificate, or with a wrong one, a client may still bring a token.
      rejectUnauthorized: false,
      ALPNProtocols: ["http/1.1"],
      minVersion: "TLSv1.2",
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
    upgrade(options, request, socket, head).catch((error: unknown) => {
      log.warn("an upgrade failed", { error });
      socket.destroy();
    });
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  await listening(server, options);
  return {
    port: (server.address() as AddressInfo).port,
    close(graceMs) {
      isClosing = true;
      return closed(server, tunnels, options.clock, graceMs);
    },
  };
}

async function answer(
  { handler, clock, limits: { stalledReaderMs } }: DoorOptions & { readonly limits: DoorLimits },
  bodies: BodyReader,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished) gone.abort(new Error("the client has gone"));
  });
  const reply = (it: ApiResponse): Promise<void> => send(response, it, { clock, stalledReaderMs, gone: gone.signal });
  try {
    await bodies.use(request, async (body) => reply(await handler.handle(apiRequest(request, body, gone.signal))));
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    await reply(refusal(error));
  }
}

async function upgrade(
  { handler, kubelets }: DoorOptions,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const gone = new AbortController();
  socket.on("close", () => gone.abort(new Error("the client has gone")));
  const judged = await handler.upgrade(apiRequest(request, new Uint8Array(), gone.signal));
  await tunnel(judged, request, socket, head, kubelets);
}

function apiRequest(request: IncomingMessage, body: Uint8Array, signal: AbortSignal): ApiRequest {
  const target = request.url ?? "/";
  const mark = target.indexOf("?");
  return {
    method: request.method ?? "GET",
    path: mark < 0 ? target : target.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? "" : target.slice(mark + 1)),
    headers: headersOf(request),
    body,
    peer: peerOf(request.socket as KnownSocket),
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

/** Reading a certificate costs more than the rest of the request's head, and a connection never changes its own. */
function peerOf(socket: KnownSocket): Peer {
  return (socket[PEER] ??= readPeer(socket));
}

function readPeer(socket: TLSSocket): Peer {
  const address = socket.remoteAddress ?? "";
  const { subject } = socket.getPeerCertificate();
  // Node types a certificate that is not there as if it were.
  if (!(subject as unknown)) return { address };
  if (!socket.authorized) return { address, hasBadCertificate: true };
  const names = subject as unknown as Readonly<Record<"CN" | "O", string | readonly string[] | undefined>>;
  return {
    address,
    certificate: { commonName: listOf(names.CN).at(-1) ?? "", organizations: listOf(names.O) },
  };
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
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
