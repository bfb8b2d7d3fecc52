/** The way to the runtime's own streaming server, which listens on this machine in clear text. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { forwardedHead, splice } from "@pilothouse/client/upgrade";

/** Hands the client's request on as it came; whatever the runtime answers reaches the client untouched. */
export async function spliceToRuntime(
  url: string,
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
): Promise<void> {
  const { hostname, port, pathname, search, host } = new URL(url);
  const runtime = connect({ host: hostname, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => runtime.once("connect", resolve).once("error", reject));
  runtime.write(forwardedHead(request, { path: `${pathname}${search}`, host }));
  if (head.length > 0) runtime.write(head);
  splice(client, runtime);
}

/** A SPDY connection for port-forwards. Rejects when the runtime does not upgrade, with what it said. */
export function spdyToRuntime(url: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, {
      method: "POST",
      agent: false,
      headers: {
        connection: "Upgrade",
        upgrade: "SPDY/3.1",
        "x-stream-protocol-version": "portforward.k8s.io",
        "content-length": "0",
      },
    });
    request.once("error", reject);
    request.once("response", (response) => {
      response.resume();
      reject(new Error(`the runtime's streaming server answered ${response.statusCode}`));
    });
    request.once("upgrade", (_response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    request.end();
  });
}
