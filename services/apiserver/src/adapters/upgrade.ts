/** Exec, attach, port-forward and proxies: the client's socket and the kubelet's, spliced once the handler has agreed. */
import { STATUS_CODES, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { ApiResponse } from "@pilothouse/api/http";
import { forwardedHead, splice } from "@pilothouse/client/upgrade";
import { internalError } from "@pilothouse/errors";
import type { KubeletRequest } from "../core/kubelet-request.ts";
import { isCredential } from "../core/proxy/headers.ts";
import { withoutBearer } from "../core/websocket.ts";
import { DOOR_LIMITS } from "./door-limits.ts";
import type { KubeletConnector } from "./kubelet-proxy.ts";

type Judged = { readonly target: KubeletRequest } | { readonly refusal: ApiResponse };

/** Headers that are between the client and us: the kubelet gets our own identity instead. */
function isOurs(name: string): boolean {
  return name === "cookie" || isCredential(name);
}

/** Answers the refusal, or carries bytes both ways until one side ends. */
export async function tunnel(
  judged: Judged,
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
  kubelets: KubeletConnector,
): Promise<void> {
  if ("refusal" in judged) {
    client.end(rawAnswer(judged.refusal));
    return;
  }
  const { address, path } = judged.target;
  let kubelet: Duplex;
  try {
    kubelet = await kubelets.connect(address);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const { status } = internalError(`error dialing the kubelet of node ${address.node}: ${why}`);
    const body = Buffer.from(`${JSON.stringify(status)}\n`);
    client.end(rawAnswer({ status: 500, headers: { "content-type": "application/json" }, body }));
    return;
  }
  kubelet.write(
    forwardedHead(request, {
      path,
      host: `${address.host}:${address.port}`,
      drops: address.over ? isCredential : isOurs,
      edits: withoutBearer,
    }),
  );
  const answer = await answerHead(kubelet);
  client.write(answer);
  if (!isSwitched(answer)) {
    // Whatever the client sends now would be a request in our name: none of it reaches the kubelet.
    client.resume();
    kubelet.pipe(client);
    client.on("close", () => kubelet.destroy());
    return;
  }
  if (head.length > 0) kubelet.write(head);
  splice(client, kubelet);
}

function isSwitched(answer: Buffer): boolean {
  return /^HTTP\/1\.[01] 101 /.test(answer.subarray(0, 13).toString("latin1"));
}

/** What the kubelet has sent when its headers are complete, or it has said all it will. */
function answerHead(kubelet: Duplex): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk]);
      if (seen.includes("\r\n\r\n")) settle(() => resolve(seen));
      else if (seen.length > DOOR_LIMITS.upgradeAnswerBytes) settle(() => reject(new Error("an answer without end")));
    };
    const onEnd = (): void => settle(() => resolve(seen));
    const onError = (error: Error): void => settle(() => reject(error));
    const settle = (how: () => void): void => {
      kubelet.pause();
      kubelet.off("data", onData).off("end", onEnd).off("close", onEnd).off("error", onError);
      how();
    };
    kubelet.on("data", onData).on("end", onEnd).on("close", onEnd).on("error", onError);
  });
}

function rawAnswer({ status, headers, body }: ApiResponse): string {
  const text = body instanceof Uint8Array ? Buffer.from(body).toString("utf8") : "";
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    (typeof value === "string" ? [value] : value).map((one) => `${name}: ${one}`),
  );
  const reason = STATUS_CODES[status] ?? "";
  return [
    `HTTP/1.1 ${status} ${reason}`,
    ...lines,
    `content-length: ${Buffer.byteLength(text)}`,
    "connection: close",
    "",
    text,
  ].join("\r\n");
}
