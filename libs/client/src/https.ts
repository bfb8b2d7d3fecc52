/**
 * The real transport: HTTPS to one apiserver over kept-alive connections. For main.ts only.
 *
 * Promises: a request without headers after its deadline fails; a body ends with the signal; a token file is read again when
 * it has changed, at most once a second. After `renew` no request begins on a connection of the old identity, idle ones are
 * closed, and a resumable body ends at the end of a line.
 */
import { readFile, stat } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { RequestOptions } from "node:https";
import { abortReason, DeadlineExceeded, type Clock } from "@pilothouse/clock";
import { untilRetired } from "./json-lines.ts";
import { RenewableAgent, type ConnectionIdentity } from "./renewable-agent.ts";
import { Unreachable, type Transport, type TransportRequest, type TransportResponse } from "./transport.ts";

export interface HttpsTransportOptions {
  /** `https://host:port` */
  readonly server: string;
  /** PEM; may hold several certificates. */
  readonly ca: string;
  /** PEM; or a token file. */
  readonly clientCertificate?: string;
  readonly clientKey?: string;
  readonly tokenFile?: string;
  readonly token?: string;
  readonly clock: Clock;
}

/** What a transport knows itself and its server by. PEM texts. */
export type HttpsIdentity = Pick<HttpsTransportOptions, "ca" | "clientCertificate" | "clientKey">;

export interface HttpsTransport extends Transport {
  /** New content of the files that the identity came from. The same content changes nothing. */
  renew(identity: HttpsIdentity): void;
}

const DEFAULT_DEADLINE_MS = 10_000;
const CONNECT_DEADLINE_MS = 3_000;
const TOKEN_CHECK_MS = 1_000;

export function httpsTransport(options: HttpsTransportOptions): HttpsTransport {
  const connections = new RenewableAgent(
    {
      keepAlive: true,
      // Below the server's own limit, so that it never closes a connection on which we just sent.
      timeout: 60_000,
      maxSockets: 256,
      maxFreeSockets: 16,
    },
    connectionIdentity(options),
  );
  const token = tokenSource(options);
  return {
    endpoint: options.server,
    async send(request) {
      if (request.signal?.aborted) throw abortReason(request.signal);
      const bearer = await token();
      const headers =
        bearer === undefined ? request.headers : { ...request.headers, authorization: `Bearer ${bearer}` };
      return exchange(options, connections, { ...request, headers });
    },
    renew: (identity) => connections.renew(connectionIdentity(identity)),
    async close() {
      connections.destroy();
    },
  };
}

function connectionIdentity({ ca, clientCertificate, clientKey }: HttpsIdentity): ConnectionIdentity {
  return { ca, certificate: clientCertificate, key: clientKey };
}

function exchange(
  { server, clock }: HttpsTransportOptions,
  { agent, retired }: RenewableAgent,
  { method, path, headers, body, signal, resumable, deadlineMs = DEFAULT_DEADLINE_MS }: TransportRequest,
): Promise<TransportResponse> {
  return new Promise((resolve, reject) => {
    let connected = false;
    const options: RequestOptions = {
      method,
      agent,
      headers: body === undefined ? headers : { ...headers, "content-length": body.length },
      ...(signal ? { signal } : {}),
    };
    const outgoing = httpsRequest(new URL(path, server), options);
    const fail = (error: Error): void => void outgoing.destroy(error);
    const deadline = clock.setTimer(deadlineMs, () =>
      fail(new DeadlineExceeded(`${method} ${server}${path}`, deadlineMs)),
    );
    const connecting = clock.setTimer(Math.min(deadlineMs, CONNECT_DEADLINE_MS), () => {
      if (!connected) fail(new DeadlineExceeded(`connection to ${server}`, CONNECT_DEADLINE_MS));
    });
    const settled = (): void => {
      deadline.cancel();
      connecting.cancel();
    };
    outgoing.on("socket", (socket) => {
      // A kept connection is connected already; a new one counts from the end of its handshake.
      if (outgoing.reusedSocket) connected = true;
      else socket.once("secureConnect", () => (connected = true));
    });
    outgoing.once("response", (response) => {
      settled();
      const answer = { status: response.statusCode ?? 0, headers: flatHeaders(response) };
      resolve({ ...answer, body: resumable ? untilRetired(response, retired) : response });
    });
    outgoing.on("error", (error) => {
      settled();
      if (signal?.aborted) reject(abortReason(signal));
      else reject(connected ? error : new Unreachable(server, error));
    });
    outgoing.end(body);
  });
}

function flatHeaders(response: IncomingMessage): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(", ") : (value ?? ""),
    ]),
  );
}

function tokenSource({ token, tokenFile, clock }: HttpsTransportOptions): () => Promise<string | undefined> {
  if (tokenFile === undefined) return async () => token;
  let known: { readonly text: string; readonly changedMs: number } | undefined;
  let checkedMs = Number.NEGATIVE_INFINITY;
  return async () => {
    if (known && clock.monotonicMs() - checkedMs < TOKEN_CHECK_MS) return known.text;
    checkedMs = clock.monotonicMs();
    const { mtimeMs } = await stat(tokenFile);
    if (known?.changedMs !== mtimeMs) known = { text: (await readFile(tokenFile, "utf8")).trim(), changedMs: mtimeMs };
    return known.text;
  };
}
