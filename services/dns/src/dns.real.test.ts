/** The adapters on loopback: UDP, TCP, large answers, forwarding, and clients that send nonsense. */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import type { Service } from "@pilothouse/api/types/core-v1";
import { systemClock, systemTimeAndChance } from "@pilothouse/clock/system";
import { Scope } from "@pilothouse/lifecycle";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { decode, encode, type Packet } from "dns-packet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { listen } from "./adapters/udp-tcp.ts";
import { upstream } from "./adapters/upstream.ts";
import { Zone } from "./core/zone.ts";
import { responder } from "./flows/respond.ts";

const LOOPBACK = "127.0.0.1";
const failures: string[] = [];
const scope = new Scope("test", (task, error) => failures.push(`${task}: ${String(error)}`));
const telemetry = memoryTelemetry(systemTimeAndChance);
let port: number;
let otherPort: number;

beforeAll(async () => {
  // Another name server, with one small answer and one that is too large for UDP.
  const other = await listenSomewhere((query) => Promise.resolve(foreignAnswer(query)));
  otherPort = other.port;
  const zone = new Zone("cluster.local", ["198.18.0.0/16", "198.19.0.0/16"]);
  zone.setService(service("web", { clusterIP: "198.19.1.1", ports: [{ port: 80 }] }));
  zone.setService(service("many", { clusterIP: "None", ports: [{ port: 80 }] }));
  zone.setSlice({
    metadata: { namespace: "default", name: "many-1", labels: { "kubernetes.io/service-name": "many" } },
    addressType: "IPv4",
    ports: [{ port: 80 }],
    endpoints: Array.from({ length: 100 }, (_, n) => ({ addresses: [`198.18.0.${n}`] })),
  });
  const forwards = upstream(() => [LOOPBACK], systemClock, otherPort);
  ({ port } = await listenSomewhere(responder({ upstream: forwards, telemetry, clock: systemClock }, zone, () => 1)));
});

afterAll(async () => {
  await scope.close();
  expect(failures).toEqual([]);
});

/** The port that UDP gets by chance may be somebody's TCP connection: then another. */
async function listenSomewhere(respond: Parameters<typeof listen>[2]): ReturnType<typeof listen> {
  for (let tries = 1; ; tries++) {
    try {
      return await listen(LOOPBACK, 0, respond, scope);
    } catch (error) {
      if (tries === 10 || (error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    }
  }
}

function service(name: string, spec: Service["spec"]): Service {
  return { metadata: { namespace: "default", name }, spec };
}

function foreignAnswer(query: Packet): Packet {
  const name = query.questions?.[0]?.name ?? "";
  const count = name.startsWith("large.") ? 100 : 1;
  const answers = Array.from({ length: count }, (_, n) => ({ type: "A" as const, name, data: `203.0.113.${n}` }));
  return { type: "response", ...(query.id ? { id: query.id } : {}), questions: query.questions ?? [], answers };
}

function query(name: string): Buffer {
  return encode({ type: "query", id: 4_711, flags: 1 << 8, questions: [{ type: "A", name }] });
}

async function addressesByUdp(name: string): Promise<{ addresses: string[]; truncated: boolean; rcode: string }> {
  return summary(decode(await byUdp(query(name))));
}

function byUdp(message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    socket.once("error", reject);
    socket.once("message", (answer) => {
      socket.close();
      resolve(answer);
    });
    socket.send(message, port, LOOPBACK);
  });
}

/** Sends all messages at once over one connection, and returns as many answers. */
function byTcp(...messages: readonly Buffer[]): Promise<Packet[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: LOOPBACK, port });
    let buffered = Buffer.alloc(0);
    const answers: Packet[] = [];
    socket.once("error", reject);
    socket.once("close", () => resolve(answers));
    socket.on("data", (chunk) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
        const end = 2 + buffered.readUInt16BE(0);
        answers.push(decode(buffered.subarray(2, end)));
        buffered = buffered.subarray(end);
      }
      if (answers.length === messages.length) socket.destroy();
    });
    for (const message of messages) {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      socket.write(Buffer.concat([length, message]));
    }
  });
}

function summary(packet: Packet): { addresses: string[]; truncated: boolean; rcode: string } {
  const decoded = packet as Packet & { flag_tc: boolean; rcode: string };
  const addresses = (packet.answers ?? []).flatMap((record) => (record.type === "A" ? [record.data] : []));
  return { addresses, truncated: decoded.flag_tc, rcode: decoded.rcode };
}

test("a Service's name is answered over UDP and TCP", async () => {
  const name = "web.default.svc.cluster.local";
  const expected = { addresses: ["198.19.1.1"], truncated: false, rcode: "NOERROR" };
  expect(await addressesByUdp(name)).toEqual(expected);
  expect((await byTcp(query(name), query(name))).map(summary)).toEqual([expected, expected]);
  expect(await addressesByUdp("nothing.default.svc.cluster.local")).toMatchObject({ rcode: "NXDOMAIN" });
});

test("an answer too large for UDP is cut, and whole over TCP", async () => {
  const name = "many.default.svc.cluster.local";
  expect(await addressesByUdp(name)).toMatchObject({ addresses: [], truncated: true });
  expect((await byTcp(query(name))).map((packet) => summary(packet).addresses.length)).toEqual([100]);
});

test("other names are asked of the other name servers, by TCP where their answer was cut", async () => {
  expect(await addressesByUdp("example.com")).toMatchObject({ addresses: ["203.0.113.0"], rcode: "NOERROR" });
  expect((await byTcp(query("large.example.com"))).map((packet) => summary(packet).addresses.length)).toEqual([100]);
  expect(await addressesByUdp("large.example.com")).toMatchObject({ addresses: [], truncated: true });
});

test("SERVFAIL when no other name server answers", async () => {
  const alone = upstream(() => [], systemClock);
  const respond = responder({ upstream: alone, telemetry, clock: systemClock }, new Zone("cluster.local", []), () => 1);
  const message = query("example.com");
  expect(summary(decode(encode((await respond(decode(message), message)) as Packet)))).toMatchObject({
    rcode: "SERVFAIL",
  });
});
