/** The bus moves over to new certificates while messages flow. */
import { readFile } from "node:fs/promises";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  expectNoLeaks,
  makeCertificates,
  makeTestDirectory,
  removeTestDirectory,
  startNats,
  tcpProxy,
  until,
  type Nats,
  type TcpProxy,
} from "../../../test/harness/index.ts";
import { natsBus, type NatsTls } from "./index.ts";

let directory: string;
let elsewhere: string;
let nats: Nats;
let proxy: TcpProxy;
let tls: NatsTls;
let stranger: NatsTls;

beforeAll(async () => {
  [directory, elsewhere] = await Promise.all([makeTestDirectory(), makeTestDirectory()]);
  const { caFile, certFile, keyFile } = await makeCertificates(directory);
  const read = async (folder: string): Promise<NatsTls> => {
    const [ca, certificate, key] = await Promise.all(
      ["ca.crt", "peer.crt", "peer.key"].map((name) => readFile(`${folder}/${name}`, "utf8")),
    );
    return { ca: ca as string, certificate: certificate as string, key: key as string };
  };
  await makeCertificates(elsewhere);
  [tls, stranger] = await Promise.all([read(directory), read(elsewhere)]);
  const config = `tls { cert_file: "${certFile}", key_file: "${keyFile}", ca_file: "${caFile}", verify: true }`;
  nats = await startNats({ config });
  proxy = await tcpProxy(nats.port);
});

afterAll(async () => {
  await proxy.close();
  await nats.stop();
  await Promise.all([directory, elsewhere].map(removeTestDirectory));
  await expectNoLeaks();
});

test("a renewal makes one new connection, and no message is lost", async () => {
  const errors: unknown[] = [];
  const options = { name: "renewed", onError: (error: unknown) => void errors.push(error) };
  const bus = natsBus({ servers: [proxy.address], tls, ...options });
  const heard = new Set<string>();
  const statuses: boolean[] = [];
  bus.subscribe("news.*", ({ subject }) => heard.add(subject));
  await until("it is connected", () => bus.connected());
  bus.onStatus((connected) => statuses.push(connected));
  expect(proxy.accepted()).toBe(1);
  let sent = 0;
  const publish = async (): Promise<void> => {
    for (const end = sent + 100; sent < end; sent++) {
      expect(bus.publish(`news.${sent}`, new Uint8Array([1]))).toBe(true);
      await sleep(systemClock, 10);
    }
  };
  // The same authority twice is new content with the same meaning.
  bus.renew({ ...tls, ca: tls.ca + tls.ca });
  await publish();
  await publish();
  await until("all is heard", () => heard.size === sent);
  bus.renew({ ...tls, ca: tls.ca + tls.ca });
  await publish();
  await until("all is heard", () => heard.size === sent);
  expect({ connections: proxy.accepted(), statuses, errors }).toEqual({ connections: 2, statuses: [], errors: [] });
  await bus.close();
});

test("what no server takes leaves the old connection in use, and the next renewal is taken", async () => {
  const bus = natsBus({ servers: [proxy.address], name: "refused", tls, onError: () => undefined });
  await until("it is connected", () => bus.connected());
  const heard: string[] = [];
  bus.subscribe("more.*", ({ subject }) => heard.push(subject));
  bus.renew(stranger);
  const before = proxy.accepted();
  await until("it was tried", () => proxy.accepted() > before + 1);
  expect(bus.publish("more.one", new Uint8Array())).toBe(true);
  await until("the old one still serves", () => heard.includes("more.one"));
  bus.renew({ ...tls, ca: stranger.ca + tls.ca });
  await sleep(systemClock, 1_500);
  expect(bus.publish("more.two", new Uint8Array())).toBe(true);
  await until("the new one serves", () => heard.includes("more.two"));
  const settled = proxy.accepted();
  await sleep(systemClock, 1_000);
  expect(proxy.accepted(), "attempts of the refused one go on").toBe(settled);
  await bus.close();
});
