/**
 * DNS over UDP and TCP on one address. Limits: `MAX_TCP_CONNECTIONS` connections, each closed after `TCP_IDLE_MS` of silence;
 * a message that does not parse is dropped (UDP) or ends the connection (TCP).
 */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import type { Scope } from "@pilothouse/lifecycle";
import { decode, encode, type Packet } from "dns-packet";
import { serverFailure, truncated, udpLimit } from "../core/answer.ts";
import type { Responder } from "../flows/respond.ts";

export interface DnsListener {
  readonly port: number;
}

const MAX_TCP_CONNECTIONS = 256;
const TCP_IDLE_MS = 10_000;
const MAX_MESSAGE_BYTES = 65_535;

/** Listens on `address:port` (port 0: any) until the scope closes. Rejects when the address cannot be bound. */
export async function listen(address: string, port: number, respond: Responder, scope: Scope): Promise<DnsListener> {
  const udp = createSocket({
    type: address.includes(":") ? "udp6" : "udp4",
    reuseAddr: false,
    recvBufferSize: 4 * 2 ** 20,
  });
  scope.defer(() => new Promise<void>((resolve) => udp.close(() => resolve())));
  await new Promise<void>((resolve, reject) => {
    udp.once("error", reject);
    udp.bind(port, address, resolve);
  });
  // Once bound, an error is about one message (a client that is gone): the next one is read all the same.
  udp.on("error", () => undefined);
  const bound = udp.address().port;
  udp.on("message", (message, from) => void answerUdp(udp, message, from, respond));
  await listenTcp(address, bound, respond, scope);
  return { port: bound };
}

async function answerUdp(socket: UdpSocket, message: Buffer, from: RemoteInfo, respond: Responder): Promise<void> {
  const query = parse(message);
  if (!query) return;
  const whole = await bytesOf(query, message, respond);
  const fitting = whole.length <= udpLimit(query) ? whole : encode(truncated(decode(Buffer.from(whole))));
  // A client that has gone is no failure of ours.
  socket.send(fitting, from.port, from.address, () => {});
}

async function listenTcp(address: string, port: number, respond: Responder, scope: Scope): Promise<void> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    void serve(socket, respond).catch(() => socket.destroy());
  });
  server.maxConnections = MAX_TCP_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, address, resolve);
  });
  scope.defer(async () => {
    for (const socket of open) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
}

/** One connection: queries one after the other, each with a length of two bytes before it. */
async function serve(socket: Socket, respond: Responder): Promise<void> {
  let buffered = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    buffered = Buffer.concat([buffered, chunk]);
    while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
      const end = 2 + buffered.readUInt16BE(0);
      const message = buffered.subarray(2, end);
      const query = parse(message);
      if (!query) return void socket.destroy();
      buffered = buffered.subarray(end);
      const answer = await bytesOf(query, message, respond);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.write(Buffer.concat([length, answer]));
    }
    if (buffered.length > MAX_MESSAGE_BYTES + 2) return void socket.destroy();
  }
}

/** What cannot be encoded (a name too long, say) is a failure of ours, told to the client. */
async function bytesOf(query: Packet, message: Buffer, respond: Responder): Promise<Uint8Array> {
  const answer = await respond(query, message);
  if (answer instanceof Uint8Array) return answer;
  try {
    return encode(answer);
  } catch {
    return encode(serverFailure(query));
  }
}

function parse(message: Buffer): Packet | undefined {
  try {
    const packet = decode(message);
    return packet.type === "query" ? packet : undefined;
  } catch {
    return undefined;
  }
}
