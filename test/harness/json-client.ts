/** Requests over HTTPS with a client certificate, as the kubeconfig of a test's cluster names it; answers of any status. */
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import type { Target } from "./credentials.ts";

export interface JsonRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  /** Of the body; JSON where it is not said. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface JsonAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

export interface JsonClient {
  send(asked: JsonRequest): Promise<JsonAnswer>;
  /** The answer's head; its body is the caller's to read. */
  open(asked: JsonRequest): Promise<IncomingMessage>;
  close(): void;
}

/** With a token no certificate is shown. */
export function jsonClient({ host, port, ca, cert, key, token }: Target & { readonly token?: string }): JsonClient {
  const identity = token === undefined ? { cert, key } : {};
  const bearer = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const agent = new Agent({ host, port, ca, ...identity, keepAlive: true, checkServerIdentity: () => undefined });
  const open = ({ method, path, body, type, headers: more }: JsonRequest): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const headers: Record<string, string | number> = { accept: "application/json", ...bearer, ...more };
      if (body !== undefined) {
        headers["content-type"] = type ?? "application/json";
        headers["content-length"] = Buffer.byteLength(body);
      }
      request({ agent, host, port, method, path, headers }, resolve).once("error", reject).end(body);
    });
  return {
    open,
    async send(asked) {
      const response = await open(asked);
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      return { status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString() };
    },
    close: () => agent.destroy(),
  };
}

interface Kubeconfig {
  readonly clusters: readonly [
    { readonly cluster: { readonly server: string; readonly "certificate-authority-data": string } },
  ];
  readonly users: readonly [
    { readonly user: { readonly "client-certificate-data": string; readonly "client-key-data": string } },
  ];
}

/** Of a kubeconfig as `up` and the playbooks write it: JSON, one cluster, one user with a certificate. */
export function targetOf(kubeconfigPath: string): Target {
  const config = JSON.parse(readFileSync(kubeconfigPath, "utf8")) as Kubeconfig;
  const { server, "certificate-authority-data": ca } = config.clusters[0].cluster;
  const { "client-certificate-data": cert, "client-key-data": key } = config.users[0].user;
  const { hostname, port } = new URL(server);
  const text = (base64: string): string => Buffer.from(base64, "base64").toString();
  return { host: hostname, port: Number(port), ca: text(ca), cert: text(cert), key: text(key) };
}
