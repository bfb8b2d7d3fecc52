import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { Scope } from "@pilothouse/lifecycle";
import { decode, encode, streamDecode, streamEncode, type Packet } from "dns-packet";
import { afterEach, expect, test } from "vitest";
import { listen } from "./udp-tcp.ts";

let scope: Scope;
afterEach(() => scope.close());

/** A server that answers with as many addresses as the name's first label says. */
async function serve(): Promise<number> {
  scope = new Scope("test", (task, error) => expect.fail(`${task}: ${String(error)}`));
  const respond = async (query: Packet): Promise<Packet> => {
    const name = query.questions?.[0]?.name ?? "";
    const answers = Array.from({ length: Number(name.split(".")[0]) }, (_, n) => ({
      type: "A" as const,
      name,
      ttl: 5,
      data: `198.18.0.${n}`,
    }));
    return { id: query.id ?? 0, type: "response", questions: query.questions ?? [], answers };
  };
  return (await listen("127.0.0.1", 0, respond, scope)).port;
}

function overUdp(port: number, message: Uint8Array): Promise<Packet> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.once("message", (answer) => {
      socket.close();
      resolve(decode(answer));
    });
    socket.send(message, port, "127.0.0.1");
  });
}

function overTcp(port: number, message: Uint8Array): Promise<Packet> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(message));
    socket.once("data", (answer) => {
      socket.destroy();
      resolve(streamDecode(answer));
    });
    socket.once("close", () => reject(new Error("closed without an answer")));
    socket.once("error", reject);
  });
}

const query = (name: string): Packet => ({ type: "query", id: 9, flags: 256, questions: [{ type: "A", name }] });

test("a short answer comes over UDP; a long one is cut there and comes whole over TCP", async () => {
  const port = await serve();
  expect((await overUdp(port, encode(query("2.web.test")))).answers).toHaveLength(2);
  expect(await overUdp(port, encode(query("100.web.test")))).toMatchObject({ flag_tc: true, answers: [] });
  expect((await overTcp(port, streamEncode(query("100.web.test")))).answers).toHaveLength(100);
});

test("what is no DNS is dropped, and does no harm", async () => {
  const port = await serve();
  const socket = createSocket("udp4");
  for (const junk of ["", "x", "\0".repeat(12), "\xff".repeat(600)])
    socket.send(Buffer.from(junk, "latin1"), port, "127.0.0.1");
  await expect(overTcp(port, Buffer.from("\0\x05junk!", "latin1"))).rejects.toThrow("closed without an answer");
  expect((await overUdp(port, encode(query("1.web.test")))).answers).toHaveLength(1);
  socket.close();
});
