/** The way to the kubelets: HTTPS with the apiserver's own client certificate; and to pods and other ports of nodes, without. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect as tcpConnect, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";
import type { ApiResponse } from "@pilothouse/api/http";
import { RenewableAgent, tlsOptions, type ConnectionIdentity } from "@pilothouse/client/renewable-agent";
import type { KubeletAddress } from "../core/kubelet-request.ts";
import type { ForwardedRequest, NodeProxy } from "../flows/node-proxy.ts";

/** PEM texts of the apiserver's identity towards kubelets. Without `ca` they are not verified, as upstream has it. */
export type KubeletProxyOptions = ConnectionIdentity;

export interface KubeletProxy extends NodeProxy, KubeletConnector {
  /** New content of the files: what is under way goes on as it is. */
  renew(options: KubeletProxyOptions): void;
  close(): void;
}

/** Opens raw connections for tunnels. */
export interface KubeletConnector {
  connect(address: KubeletAddress): Promise<Socket>;
}

const CONNECT_TIMEOUT_MS = 10_000;

export function kubeletProxy(options: KubeletProxyOptions): KubeletProxy {
  let identity = options;
  const verifies = { rejectUnauthorized: options.ca !== undefined };
  const connections = new RenewableAgent({ keepAlive: true, ...verifies }, options);
  return {
    get: ({ address, path }, signal) =>
      new Promise<ApiResponse>((resolve, reject) => {
        const { host, port } = address;
        const request = httpsRequest(
          { host, port, path, agent: connections.agent, signal, timeout: CONNECT_TIMEOUT_MS },
          (response) => {
            request.setTimeout(0);
            resolve({ status: response.statusCode ?? 502, headers: {}, body: response });
          },
        );
        request.on("timeout", () => request.destroy(new Error(`no answer from ${host}:${port}`)));
        request.on("error", reject);
        request.end();
      }),

    forward: (forwarded, signal) =>
      new Promise<ApiResponse>((resolve, reject) => {
        const { address, method, path, headers, body } = forwarded;
        const { host, port, over } = address;
        const options = { host, port, path, method, headers, signal, timeout: CONNECT_TIMEOUT_MS };
        const answered = (response: IncomingMessage): void => resolve(answerOf(forwarded, response));
        // A kubelet's certificate names its machine, whatever host the client has asked for.
        const request =
          over === "http"
            ? httpRequest({ ...options, agent: false }, answered)
            : over === "https"
              ? httpsRequest({ ...options, agent: false, servername: "", rejectUnauthorized: false }, answered)
              : httpsRequest({ ...options, agent: connections.agent, servername: "" }, answered);
        // Once there is a connection, an answer may take its time.
        request.on("socket", (socket) => {
          if (!socket.connecting) request.setTimeout(0);
          socket.once("connect", () => request.setTimeout(0));
        });
        request.on("timeout", () => request.destroy(new Error(`no answer from ${host}:${port}`)));
        request.on("error", reject);
        request.end(body);
      }),

    connect: ({ host, port, over }) =>
      new Promise((resolve, reject) => {
        const http1 = { ALPNProtocols: ["http/1.1"] };
        const socket =
          over === "http"
            ? tcpConnect({ host, port })
            : over === "https"
              ? tlsConnect({ host, port, rejectUnauthorized: false, ...http1 })
              : tlsConnect({ host, port, ...tlsOptions(identity), ...verifies, ...http1 });
        socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error(`no answer from ${host}:${port}`)));
        socket.once("error", reject);
        socket.once(over === "http" ? "connect" : "secureConnect", () => {
          socket.setTimeout(0);
          socket.off("error", reject);
          resolve(socket);
        });
      }),

    renew(renewed) {
      identity = renewed;
      connections.renew(renewed);
    },

    close: () => connections.destroy(),
  };
}

function answerOf({ method }: ForwardedRequest, response: IncomingMessage): ApiResponse {
  const { statusCode: status = 502 } = response;
  const headers: Record<string, string | readonly string[]> = {};
  for (const [name, value] of Object.entries(response.headers)) if (value !== undefined) headers[name] = value;
  if (method !== "HEAD") return { status, headers, body: response };
  response.resume();
  return { status, headers, body: new Uint8Array() };
}
