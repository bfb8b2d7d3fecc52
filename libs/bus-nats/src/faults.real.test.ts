/**
 * What NATS 2.9 and its client do to those who trust them, and what ours does about it.
 *
 * | Fault | Shown here, or by |
 * |---|---|
 * | a subject with an empty token is dropped without a word | "an empty token"; the bus conformance suite |
 * | a payload above `max_payload` costs the publisher its connection | "a payload above the limit"; the bus conformance suite |
 * | a subscription is not yet known on the other server | "joins the bus at the first bookmark" in libs/informer/src/feed.test.ts |
 * | a consumer stalls after a server has restarted | "hears on after its server has died"; "survives the server's death" in index.real.test.ts |
 * | a half-open connection looks open | "a half-open connection" |
 * | a failing handler ends its subscription | "a handler that throws" |
 * | a server that reads nothing lets the client's memory grow | "refuses more than its bound …" in index.real.test.ts |
 * | streams that lose what they acknowledged (JetStream) | test/lint/core-nats.test.ts: nothing of ours uses them |
 * | any message lost, doubled, reordered | chain.test.ts and feed.test.ts in libs/informer |
 */
import { connect as connectSocket } from "node:net";
import type { Bus } from "@pilothouse/bus";
import { connect } from "nats";
import { afterAll, afterEach, expect, test } from "vitest";
import { expectNoLeaks, startNats, tcpProxy, until } from "../../../test/harness/index.ts";
import { natsBus } from "./index.ts";

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (let close = opened.pop(); close; close = opened.pop()) await close();
});
afterAll(expectNoLeaks);

test("an empty token: the client takes it and nobody hears it; ours says false", async () => {
  const nats = await startServer();
  const theirs = await connect({ servers: nats.endpoint });
  opened.push(() => theirs.close());
  const bus = await openBus([nats.endpoint]);
  const heard: string[] = [];
  bus.subscribe(">", ({ subject }) => heard.push(subject));
  theirs.publish("changes..pods");
  expect(bus.publish("changes..pods", new Uint8Array())).toBe(false);
  await theirs.flush();
  expect(bus.publish("last", new Uint8Array())).toBe(true);
  await until("the last one is heard", () => heard.length > 0);
  expect(heard).toEqual(["last"]);
});

test("a payload above the limit: the server ends the connection; ours says false and stays", async () => {
  const nats = await startServer(["max_payload: 1000"]);
  const answer = await new Promise<string>((resolve, reject) => {
    let text = "";
    const socket = connectSocket(nats.port, "127.0.0.1");
    socket.on("data", (data) => (text += data.toString()));
    socket.on("error", reject);
    socket.on("close", () => resolve(text));
    socket.write(`CONNECT {"verbose":false}\r\nPUB big 2000\r\n`);
  });
  expect(answer).toContain("-ERR 'Maximum Payload Violation'");
  const bus = await openBus([nats.endpoint]);
  expect(bus.maxPayloadBytes).toBe(1_000);
  expect(bus.publish("big", new Uint8Array(2_000))).toBe(false);
  expect(bus.publish("small", new Uint8Array(500))).toBe(true);
  expect(bus.connected()).toBe(true);
});

test("a consumer hears on after its server has died, at the other server", async () => {
  const first = await startServer();
  const servers = [first, await startServer([], [first.clusterEndpoint])];
  const proxies = await Promise.all(servers.map(({ port }) => tcpProxy(port)));
  opened.push(() => Promise.all(proxies.map((proxy) => proxy.close())));
  const consumer = await openBus(proxies.map(({ address }) => address));
  // The client begins at whichever it likes.
  const own = proxies.findIndex((proxy) => proxy.accepted() > 0);
  const publisher = await openBus([servers[1 - own]?.endpoint ?? ""]);
  const statuses: boolean[] = [];
  consumer.onStatus((connected) => statuses.push(connected));
  let heard = 0;
  consumer.subscribe("news", () => heard++);
  const untilHeard = (what: string): Promise<void> => {
    const before = heard;
    return until(what, () => publisher.publish("news", new Uint8Array()) && heard > before);
  };
  await untilHeard("its server passes news on");
  await servers[own]?.kill();
  await until("the consumer is at the other server", () => statuses.at(-1) === true);
  await untilHeard("the other server does");
  expect(statuses).toEqual([false, true]);
});

test("a half-open connection is found dead by its silence, and replaced", { timeout: 40_000 }, async () => {
  const nats = await startServer();
  const proxy = await tcpProxy(nats.port);
  opened.push(() => proxy.close());
  const bus = await openBus([proxy.address], 200);
  const statuses: boolean[] = [];
  bus.onStatus((connected) => statuses.push(connected));
  let heard = 0;
  bus.subscribe("news", () => heard++);
  proxy.halfOpen();
  await until("it is connected anew", () => statuses.at(-1) === true, 20_000);
  bus.publish("news", new Uint8Array());
  await until("it hears", () => heard === 1);
  expect(statuses).toEqual([false, true]);
});

test("a handler that throws is told of, and hears the next message", async () => {
  const nats = await startServer();
  const errors: unknown[] = [];
  const bus = await openBus([nats.endpoint], undefined, (error) => errors.push(error));
  let heard = 0;
  bus.subscribe("news", () => {
    heard++;
    throw new Error("a bug");
  });
  bus.publish("news", new Uint8Array());
  bus.publish("news", new Uint8Array());
  await until("it hears both", () => heard === 2);
  expect(errors).toEqual([new Error("a bug"), new Error("a bug")]);
});

async function startServer(lines: readonly string[] = [], routes: readonly string[] = []) {
  const nats = await startNats({
    flags: ["--no_advertise"],
    ...(lines.length > 0 ? { config: `${lines.join("\n")}\n` } : {}),
    ...(routes.length > 0 ? { routes } : {}),
  });
  opened.push(() => nats.stop());
  return nats;
}

async function openBus(
  servers: readonly string[],
  pingIntervalMs?: number,
  onError: (error: unknown) => void = () => undefined,
): Promise<Bus> {
  const bus = natsBus({
    servers,
    name: "test",
    reconnectDelayMs: 50,
    onError,
    ...(pingIntervalMs === undefined ? {} : { pingIntervalMs }),
  });
  opened.push(() => bus.close());
  await until("the bus is connected", () => bus.connected());
  return bus;
}
