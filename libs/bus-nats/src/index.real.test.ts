import type { Bus } from "@pilothouse/bus";
import { busConformance, type BusUnderTest } from "@pilothouse/bus/conformance";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { expectNoLeaks, startNats, until, type Nats } from "../../../test/harness/index.ts";
import { natsBus } from "./index.ts";

let nats: Nats;
const errors: unknown[] = [];
const open: Bus[] = [];

beforeAll(async () => {
  nats = await startNats();
});
afterEach(async () => {
  for (const bus of open.splice(0)) await bus.close();
});
afterAll(async () => {
  await nats.stop();
  await expectNoLeaks();
});

async function connected(options: { maxPendingBytes?: number } = {}): Promise<Bus> {
  const bus = natsBus({
    servers: [nats.endpoint],
    name: "test",
    reconnectDelayMs: 50,
    onError: (error) => errors.push(error),
    ...options,
  });
  open.push(bus);
  await until("the bus is connected", () => bus.connected());
  return bus;
}

busConformance("nats", async (): Promise<BusUnderTest> => {
  const probe = await connected();
  return {
    connect: () => connected(),
    // Subjects are served in order per connection, but connections are not in step: give each a moment.
    async settle() {
      let heard = 0;
      const subscription = probe.subscribe("settle", () => heard++);
      for (let i = 1; i <= 10; i++) {
        probe.publish("settle", new Uint8Array());
        await until("the probe hears itself", () => heard >= i);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
      subscription.unsubscribe();
    },
  };
});

describe("the NATS bus", () => {
  it("survives the server's death: says so, refuses meanwhile, hears again after", async () => {
    const bus = await connected();
    const heard: string[] = [];
    const statuses: boolean[] = [];
    bus.subscribe("news", ({ payload }) => heard.push(new TextDecoder().decode(payload)));
    bus.onStatus((up) => statuses.push(up));
    await nats.kill();
    await until("the bus notices", () => !bus.connected());
    expect(bus.publish("news", new TextEncoder().encode("lost"))).toBe(false);
    await nats.start();
    await until("the bus is back", () => bus.connected());
    expect(bus.publish("news", new TextEncoder().encode("found"))).toBe(true);
    await until("it hears again", () => heard.length > 0);
    expect(heard).toEqual(["found"]);
    expect(statuses).toEqual([false, true]);
  });

  it("connects to a server that comes later, with the subscriptions made before", async () => {
    await nats.kill();
    const bus = natsBus({ servers: [nats.endpoint], name: "early", reconnectDelayMs: 50, onError: () => {} });
    open.push(bus);
    const heard: string[] = [];
    bus.subscribe("early", ({ subject }) => heard.push(subject));
    expect(bus.connected()).toBe(false);
    await nats.start();
    await until("the bus is connected", () => bus.connected());
    bus.publish("early", new Uint8Array());
    await until("it hears", () => heard.length === 1);
  });

  it("refuses more than its bound while the server reads nothing, and goes on when it reads again", async () => {
    const bus = await connected({ maxPendingBytes: 4 * 2 ** 20 });
    nats.pause();
    const megabyte = new Uint8Array(2 ** 20 - 100);
    let accepted = 0;
    for (let i = 0; i < 20; i++) if (bus.publish("flood", megabyte)) accepted++;
    expect(accepted).toBe(5);
    nats.resume();
    await until("it takes more", () => bus.publish("flood", megabyte));
  });
});
