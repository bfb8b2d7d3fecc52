/** Asks the machine's own name servers what is not of the cluster's zone. Queries and answers pass as they came. */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import type { Clock } from "@pilothouse/clock";
import type { Upstream } from "../flows/respond.ts";

const PATIENCE_MS = 2_000;
const DNS_PORT = 53;
/** The third byte of a message: this bit says that the answer was cut. */
const TRUNCATED = 0x02;

/** `servers` are addresses, as in /etc/resolv.conf; our own address must not be among them. `port` is for tests. */
export function upstream(servers: () => readonly string[], clock: Clock, port = DNS_PORT): Upstream {
  return {
    async ask(query) {
      let failure = new Error("there is no upstream name server");
      for (const server of servers()) {
        try {
          const answer = await askByUdp(server, port, query, clock);
          const cut = ((answer[2] as number) & TRUNCATED) !== 0;
          return cut ? await askByTcp(server, port, query, clock) : answer;
        } catch (error) {
          failure = error instanceof Error ? error : new Error(String(error));
        }
      }
      throw failure;
    },
  };
}

/** `nameserver` lines of a resolv.conf, without ourselves. */
export function nameServersOf(resolvConf: string, ownAddress: string): readonly string[] {
  return [...resolvConf.matchAll(/^nameserver\s+(\S+)/gm)]
    .map((match) => match[1] as string)
    .filter((server) => server !== ownAddress);
}

function askByUdp(server: string, port: number, query: Uint8Array, clock: Clock): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(server.includes(":") ? "udp6" : "udp4");
    const timer = clock.setTimer(PATIENCE_MS, () => settle(() => reject(new Error(`${server} did not answer`))));
    let settled = false;
    const settle = (finish: () => void): void => {
      if (settled) return;
      settled = true;
      timer.cancel();
      socket.close();
      finish();
    };
    socket.once("error", (error) => settle(() => reject(error)));
    // Of a connected socket the kernel passes on only what comes from that server.
    socket.on("message", (message) => {
      if (isAnswerTo(query, message)) settle(() => resolve(message));
    });
    socket.connect(port, server, (error?: Error) => {
      if (error) return settle(() => reject(error));
      socket.send(query, (failed) => {
        if (failed) settle(() => reject(failed));
      });
    });
  });
}

function askByTcp(server: string, port: number, query: Uint8Array, clock: Clock): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server, port });
    const timer = clock.setTimer(PATIENCE_MS, () => socket.destroy(new Error(`${server} did not answer`)));
    let buffered = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      buffered = Buffer.concat([buffered, chunk]);
      if (buffered.length < 2 || buffered.length < 2 + buffered.readUInt16BE(0)) return;
      const answer = buffered.subarray(2, 2 + buffered.readUInt16BE(0));
      if (isAnswerTo(query, answer)) resolve(answer);
      socket.destroy();
    });
    socket.once("error", reject);
    socket.once("close", () => {
      timer.cancel();
      reject(new Error(`${server} closed the connection`));
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(query.length);
    socket.end(Buffer.concat([length, query]));
  });
}

/** The same id, and marked as an answer. */
function isAnswerTo(query: Uint8Array, message: Uint8Array): boolean {
  const marked = ((message[2] ?? 0) & 0x80) !== 0;
  return message.length >= 12 && marked && message[0] === query[0] && message[1] === query[1];
}
