/** Asks the machine's own name servers what is not of the cluster's zone. */
import { createSocket } from "node:dgram";
import type { Clock } from "@pilothouse/clock";
import { decode, encode, type Packet } from "dns-packet";

export interface Upstream {
  /** The answer of the first server that gives one; rejects when none does. */
  ask(query: Packet): Promise<Packet>;
}

const PATIENCE_MS = 2_000;

/** `servers` are addresses, as in /etc/resolv.conf; our own address must not be among them. */
export function upstream(servers: readonly string[], clock: Clock): Upstream {
  return {
    async ask(query) {
      let failure = new Error("there is no upstream name server");
      for (const server of servers) {
        try {
          return await askOne(server, query, clock);
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

function askOne(server: string, query: Packet, clock: Clock): Promise<Packet> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(server.includes(":") ? "udp6" : "udp4");
    const settle = (finish: () => void): void => {
      timer.cancel();
      socket.close();
      finish();
    };
    const timer = clock.setTimer(PATIENCE_MS, () => settle(() => reject(new Error(`${server} did not answer`))));
    socket.once("error", (error) => settle(() => reject(error)));
    socket.on("message", (message, from) => {
      if (from.address !== server) return;
      settle(() => {
        try {
          const packet = decode(message);
          if (packet.id === query.id) resolve(packet);
          else reject(new Error(`${server} answered another question`));
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
    socket.send(encode(query), 53, server, (error) => {
      if (error) settle(() => reject(error));
    });
  });
}
