/** The way to the kubelets: HTTPS with the apiserver's own client certificate. */
import { Agent, request as httpsRequest } from "node:https";
import { connect as tlsConnect, type TLSSocket } from "node:tls";
import type { ApiResponse } from "@pilothouse/api/http";
import type { KubeletAddress } from "../core/kubelet-request.ts";
import type { NodeProxy } from "../flows/node-proxy.ts";

export interface KubeletProxyOptions {
  /** PEM texts of the apiserver's identity towards kubelets. */
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  /** Whom kubelets' certificates must come from; without it they are not verified, as upstream has it. */
  readonly ca: string | undefined;
}

/** Opens raw connections for tunnels. */
export interface KubeletConnector {
  connect(address: KubeletAddress): Promise<TLSSocket>;
}

const CONNECT_TIMEOUT_MS = 10_000;

export function kubeletProxy(options: KubeletProxyOptions): NodeProxy & KubeletConnector & { close(): void } {
  const tls = {
    ...(options.certificate === undefined ? {} : { cert: options.certificate }),
    ...(options.key === undefined ? {} : { key: options.key }),
    ...(options.ca === undefined ? { rejectUnauthorized: false } : { ca: options.ca }),
  };
  const agent = new Agent({ ...tls, keepAlive: true });
  return {
    get: ({ address, path }, signal) =>
      new Promise<ApiResponse>((resolve, reject) => {
        const { host, port } = address;
        const request = httpsRequest({ host, port, path, agent, signal, timeout: CONNECT_TIMEOUT_MS }, (response) => {
          request.setTimeout(0);
          resolve({ status: response.statusCode ?? 502, headers: {}, body: response });
        });
        request.on("timeout", () => request.destroy(new Error(`no answer from ${host}:${port}`)));
        request.on("error", reject);
        request.end();
      }),

    connect: ({ host, port }) =>
      new Promise((resolve, reject) => {
        const socket = tlsConnect({ host, port, ...tls, ALPNProtocols: ["http/1.1"] });
        socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error(`no answer from ${host}:${port}`)));
        socket.once("error", reject);
        socket.once("secureConnect", () => {
          socket.setTimeout(0);
          socket.off("error", reject);
          resolve(socket);
        });
      }),

    close: () => agent.destroy(),
  };
}
