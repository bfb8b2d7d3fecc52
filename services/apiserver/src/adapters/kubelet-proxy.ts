/** The way to the kubelets: HTTPS with the apiserver's own client certificate. */
import { request as httpsRequest } from "node:https";
import { connect as tlsConnect, type TLSSocket } from "node:tls";
import type { ApiResponse } from "@pilothouse/api/http";
import { RenewableAgent, tlsOptions, type ConnectionIdentity } from "@pilothouse/client/renewable-agent";
import type { KubeletAddress } from "../core/kubelet-request.ts";
import type { NodeProxy } from "../flows/node-proxy.ts";

/** PEM texts of the apiserver's identity towards kubelets. Without `ca` they are not verified, as upstream has it. */
export type KubeletProxyOptions = ConnectionIdentity;

export interface KubeletProxy extends NodeProxy, KubeletConnector {
  /** New content of the files: what is under way goes on as it is. */
  renew(options: KubeletProxyOptions): void;
  close(): void;
}

/** Opens raw connections for tunnels. */
export interface KubeletConnector {
  connect(address: KubeletAddress): Promise<TLSSocket>;
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

    connect: ({ host, port }) =>
      new Promise((resolve, reject) => {
        const socket = tlsConnect({ host, port, ...tlsOptions(identity), ...verifies, ALPNProtocols: ["http/1.1"] });
        socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error(`no answer from ${host}:${port}`)));
        socket.once("error", reject);
        socket.once("secureConnect", () => {
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
