import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";

/** A relay on loopback that breaks connections in the ways real networks do. */
export interface TcpProxy {
  readonly port: number;
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** Connections accepted so far. */
  accepted(): number;
  /** Resets all open connections, on both sides. */
  cut(): void;
  /** From now on resets each connection after this many bytes towards the client; undefined ends that. */
  cutAfterBytes(bytes: number | undefined): void;
  /** Relays nothing any more, in both directions, but keeps connections open and accepts new ones, which stay silent. */
  freeze(): void;
  /** Relays on what the near side sends, and holds back what it is answered: with a `cut`, requests that arrive and answers that do not. */
  holdAnswers(): void;
  /** Relays on what the far side sends, and holds back what the near side says to it. */
  holdRequests(): void;
  /** Relays again, beginning with what was held back. */
  thaw(): void;
  /** Closes the far side of all open connections and does not tell the near side: to the client they look open for ever. */
  halfOpen(): void;
  /** Holds each piece of data back for so long, in both directions, and keeps their order. */
  delay(delayMs: number): void;
  /** While true, new connections are reset at once. */
  refuse(refusing: boolean): void;
  close(): Promise<void>;
}

interface Link {
  readonly near: Socket;
  readonly far: Socket;
}

/** Relays to a port of loopback. */
export async function tcpProxy(targetPort: number): Promise<TcpProxy> {
  const links = new Set<Link>();
  const nearSides = new Set<Socket>();
  let accepted = 0;
  let holdsRequests = false;
  let holdsAnswers = false;
  let refusing = false;
  let delayMs = 0;
  let cutBytes: number | undefined;

  const cutLink = (link: Link): void => {
    links.delete(link);
    link.near.resetAndDestroy();
    link.far.destroy();
  };

  const relay = (from: Socket, to: Socket, isHeld: () => boolean, deliver: (data: Buffer) => void): void => {
    let held = 0;
    let inOrder = Promise.resolve();
    from.on("data", (data) => {
      if (delayMs === 0 && held === 0) {
        deliver(data);
        return;
      }
      held++;
      const due = sleep(systemClock, delayMs);
      // Also when the delay has become shorter meanwhile, nothing overtakes what was sent before it.
      inOrder = inOrder
        .then(() => due)
        .then(() => {
          held--;
          deliver(data);
        });
    });
    to.on("drain", () => void (isHeld() || from.resume()));
    if (isHeld()) from.pause();
  };

  const server = createServer((near) => {
    accepted++;
    near.on("error", () => undefined);
    if (refusing) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(targetPort, "127.0.0.1");
    far.on("error", () => undefined);
    const link = { near, far };
    links.add(link);
    nearSides.add(near);
    let towardsClient = 0;
    const requestsHeld = (): boolean => holdsRequests;
    const answersHeld = (): boolean => holdsAnswers;
    relay(near, far, requestsHeld, (data) => void (far.write(data) || near.pause()));
    relay(far, near, answersHeld, (data) => {
      towardsClient += data.length;
      if (cutBytes !== undefined && towardsClient > cutBytes) cutLink(link);
      else if (!near.write(data)) far.pause();
    });
    near.on("close", () => {
      nearSides.delete(near);
      if (links.delete(link)) far.destroy();
    });
    far.on("close", () => {
      if (links.delete(link)) near.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  return {
    port,
    address: `127.0.0.1:${port}`,
    accepted: () => accepted,
    cut: () => links.forEach(cutLink),
    cutAfterBytes: (bytes) => void (cutBytes = bytes),
    freeze() {
      holdsRequests = true;
      holdsAnswers = true;
      for (const { near, far } of links) {
        near.pause();
        far.pause();
      }
    },
    holdAnswers() {
      holdsAnswers = true;
      for (const { far } of links) far.pause();
    },
    holdRequests() {
      holdsRequests = true;
      for (const { near } of links) near.pause();
    },
    thaw() {
      holdsRequests = false;
      holdsAnswers = false;
      for (const { near, far } of links) {
        near.resume();
        far.resume();
      }
    },
    halfOpen() {
      for (const link of links) {
        links.delete(link);
        link.near.pause();
        link.far.destroy();
      }
    },
    delay: (ms) => void (delayMs = ms),
    refuse: (on) => void (refusing = on),
    async close() {
      for (const near of nearSides) near.destroy();
      for (const { far } of links) far.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
