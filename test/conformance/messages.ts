/** What the API sends over a WebSocket, as a client that has nothing but WebSockets sees it. */
import { WebSocket } from "ws";
import { targetOf } from "../harness/json-client.ts";

/** More than a command that ends at once needs, on a machine where many run. */
const PATIENCE_MS = 60_000;

/**
 * All messages of a WebSocket, in their order, until the server ends it.
 *
 * `path` with its query; `protocol` is what is offered, and must be what is agreed to. Rejects if the handshake is refused, if
 * another protocol is answered, or if the server has not ended it within a minute.
 */
export async function messagesOf(kubeconfig: string, path: string, protocol: string): Promise<readonly Buffer[]> {
  const { host, port, ca, cert, key } = targetOf(kubeconfig);
  const socket = new WebSocket(`wss://${host}:${port}${path}`, [protocol], { ca, cert, key });
  const messages: Buffer[] = [];
  socket.on("message", (data: Buffer) => messages.push(data));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const deadline = setTimeout(() => reject(new Error(`not ended; it said ${said(messages)}`)), PATIENCE_MS);
  socket.once("error", reject).once("close", () => resolve());
  try {
    await promise;
  } finally {
    clearTimeout(deadline);
    socket.terminate();
  }
  if (socket.protocol !== protocol) throw new Error(`${protocol} was offered, ${socket.protocol} was agreed to`);
  return messages;
}

function said(messages: readonly Buffer[]): string {
  return JSON.stringify(messages.map((message) => message.toString()));
}
