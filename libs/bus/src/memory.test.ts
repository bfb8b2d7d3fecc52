import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { busConformance } from "./conformance.ts";
import { busToken } from "./index.ts";
import { memoryBroker } from "./memory.ts";
import { isPublishable } from "./subject.ts";

busConformance("memory", async () => {
  const broker = memoryBroker();
  return { connect: async () => broker.connect(), settle: () => Promise.resolve() };
});

describe("the memory bus", () => {
  it("loses messages while it is cut, and says so", async () => {
    const broker = memoryBroker();
    const bus = broker.connect();
    const heard: string[] = [];
    const statuses: boolean[] = [];
    bus.subscribe("a", ({ headers }) => heard.push(headers["nr"] as string));
    bus.onStatus((connected) => statuses.push(connected));
    broker.setUp(false);
    expect(bus.publish("a", new Uint8Array(), { nr: "1" })).toBe(false);
    broker.setUp(true);
    expect(bus.publish("a", new Uint8Array(), { nr: "2" })).toBe(true);
    await Promise.resolve();
    expect(heard).toEqual(["2"]);
    expect(statuses).toEqual([false, true]);
  });
});

describe("bus tokens", () => {
  it("are publishable and never the same for two texts", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (a, b) => {
        expect(isPublishable(busToken(a))).toBe(true);
        if (Buffer.compare(Buffer.from(a), Buffer.from(b)) !== 0) expect(busToken(a)).not.toBe(busToken(b));
      }),
    );
    expect(busToken("_")).not.toBe(busToken(""));
  });
});
