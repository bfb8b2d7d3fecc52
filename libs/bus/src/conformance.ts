/** What every adapter of the bus port must show; each adapter's test calls this with a way to connect to one broker. */
import { afterEach, describe, expect, it } from "vitest";
import type { Bus, BusMessage } from "./index.ts";

export interface BusUnderTest {
  /** A new connection, ready to use. */
  connect(): Promise<Bus>;
  /** Lets everything published so far arrive. */
  settle(): Promise<void>;
}

export function busConformance(name: string, start: () => Promise<BusUnderTest>): void {
  describe(`bus conformance: ${name}`, () => {
    const open: Bus[] = [];
    const connectTwo = async () => {
      const broker = await start();
      const [from, to] = [await broker.connect(), await broker.connect()];
      open.push(from, to);
      return { from, to, settle: () => broker.settle() };
    };
    afterEach(async () => {
      for (const bus of open.splice(0)) await bus.close();
    });

    it("delivers one publisher's messages in order, with subject, headers and payload", async () => {
      const { from, to, settle } = await connectTwo();
      const heard = listen(to, "orders.>");
      await settle();
      for (let i = 0; i < 20; i++)
        expect(from.publish(`orders.n${i}`, bytes(`payload ${i}`), { Nr: `${i}` })).toBe(true);
      await settle();
      expect(heard.map(({ subject }) => subject)).toEqual(Array.from({ length: 20 }, (_, i) => `orders.n${i}`));
      expect(heard[7]?.headers).toEqual({ Nr: "7" });
      expect(text(heard[7])).toBe("payload 7");
    });

    it("matches * to one token and > to one or more", async () => {
      const { from, to, settle } = await connectTwo();
      const one = listen(to, "changes.*.pods");
      const all = listen(to, "changes.>");
      await settle();
      for (const subject of ["changes", "changes.a.pods", "changes.a.b.pods", "changes.a.pods.node"])
        from.publish(subject, bytes(""));
      await settle();
      expect(one.map(({ subject }) => subject)).toEqual(["changes.a.pods"]);
      expect(all.map(({ subject }) => subject)).toEqual(["changes.a.pods", "changes.a.b.pods", "changes.a.pods.node"]);
    });

    it("lets the publisher hear itself", async () => {
      const { from, settle } = await connectTwo();
      const heard = listen(from, "self");
      await settle();
      from.publish("self", bytes("me"));
      await settle();
      expect(heard.map(text)).toEqual(["me"]);
    });

    it("refuses what the server would drop without a word", async () => {
      const { from, to } = await connectTwo();
      for (const subject of ["", "a..b", ".a", "a.", "a b", "a.*", "a.>"])
        expect(from.publish(subject, bytes(""))).toBe(false);
      for (const pattern of ["", "a..b", "a.>.b", "a b"])
        expect(() => to.subscribe(pattern, () => {})).toThrow(RangeError);
    });

    it("refuses a message over the limit and stays connected", async () => {
      const { from, to, settle } = await connectTwo();
      const heard = listen(to, "big");
      await settle();
      expect(from.publish("big", new Uint8Array(from.maxPayloadBytes + 1))).toBe(false);
      expect(from.publish("big", new Uint8Array(from.maxPayloadBytes), { Key: "over by this" })).toBe(false);
      expect(from.publish("big", new Uint8Array(from.maxPayloadBytes))).toBe(true);
      await settle();
      expect(heard.map(({ payload }) => payload.length)).toEqual([from.maxPayloadBytes]);
      expect(from.connected()).toBe(true);
    });

    it("ends a subscription at once", async () => {
      const { from, to, settle } = await connectTwo();
      const heard: BusMessage[] = [];
      const subscription = to.subscribe("news", (message) => {
        heard.push(message);
        subscription.unsubscribe();
      });
      await settle();
      from.publish("news", bytes("1"));
      from.publish("news", bytes("2"));
      await settle();
      expect(heard.map(text)).toEqual(["1"]);
    });

    it("is deaf, mute and not connected after close", async () => {
      const { from, to, settle } = await connectTwo();
      const heard = listen(to, "late");
      await settle();
      await to.close();
      from.publish("late", bytes("x"));
      await settle();
      expect(heard).toEqual([]);
      expect(to.connected()).toBe(false);
      expect(to.publish("late", bytes("y"))).toBe(false);
      await to.close();
    });
  });
}

function listen(bus: Bus, pattern: string): BusMessage[] {
  const heard: BusMessage[] = [];
  bus.subscribe(pattern, (message) => heard.push(message));
  return heard;
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function text(message: BusMessage | undefined): string {
  return new TextDecoder().decode(message?.payload);
}
