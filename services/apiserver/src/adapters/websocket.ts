/** Answers in the messages of a WebSocket. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { ApiResponse } from "@pilothouse/api/http";
import type { Clock } from "@pilothouse/clock";
import { WebSocketServer, type WebSocket } from "ws";
import type { Framing } from "../core/websocket.ts";

/** Else a proxy in between takes a quiet watch for dead. */
const PING_MS = 30_000;
const NEWLINE = 0x0a;

/** Sends the whole answer, at the pace at which the client takes it, and ends. What the client says is not listened to. */
export async function sendMessages(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  { body }: ApiResponse,
  framing: Framing,
  clock: Clock,
): Promise<void> {
  const client = await accepted(request, socket, head, framing.protocol);
  client.on("error", () => client.terminate());
  client.on("message", () => undefined);
  let timer = clock.setTimer(PING_MS, ping);
  function ping(): void {
    client.ping();
    timer = clock.setTimer(PING_MS, ping);
  }
  client.on("close", () => timer.cancel());
  try {
    // As upstream: a message without contents tells at once that the stream stands.
    if (framing.messages !== "lines") await sent(client, "");
    for await (const message of messagesOf(body, framing)) {
      if (client.readyState !== client.OPEN) return;
      await sent(client, message);
    }
  } finally {
    client.close(1_000);
  }
}

async function* messagesOf(body: ApiResponse["body"], { messages }: Framing): AsyncGenerator<Uint8Array | string> {
  const chunks = body instanceof Uint8Array ? [body] : body;
  let rest: Uint8Array = new Uint8Array();
  for await (const chunk of chunks) {
    switch (messages) {
      case "binary":
        yield chunk;
        break;
      case "base64":
        yield Buffer.from(chunk).toString("base64");
        break;
      case "lines": {
        const bytes = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
        let from = 0;
        for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
          yield bytes.toString("utf8", from, end + 1);
          from = end + 1;
        }
        rest = bytes.subarray(from);
        break;
      }
    }
  }
}

/** Resolves when the socket has taken it, or is gone. */
function sent(client: WebSocket, message: Uint8Array | string): Promise<void> {
  return new Promise((resolve) => client.send(message, { binary: typeof message !== "string" }, () => resolve()));
}

function accepted(request: IncomingMessage, socket: Duplex, head: Buffer, protocol: string): Promise<WebSocket> {
  const acceptor = new WebSocketServer({ noServer: true, handleProtocols: () => (protocol === "" ? false : protocol) });
  return new Promise((resolve) => acceptor.handleUpgrade(request, socket, head, resolve));
}
