import { Duplex, duplexPair } from "node:stream";
import type { IncomingMessage } from "node:http";
import { expect, test } from "vitest";
import { forwardedHead, splice } from "./upgrade.ts";

test("a head goes on with its headers as they came, without those that are between the two before", () => {
  const request = {
    method: "POST",
    rawHeaders: [
      "Host",
      "api",
      "X-Stream-Protocol-Version",
      "v4.channel.k8s.io",
      "X-Stream-Protocol-Version",
      "v3.channel.k8s.io",
      "Authorization",
      "Bearer secret",
      "Upgrade",
      "SPDY/3.1",
    ],
  } as IncomingMessage;
  const drops = (name: string): boolean => name === "authorization";
  expect(forwardedHead(request, { path: "/exec/a?command=ls", host: "node:10250", drops })).toBe(
    [
      "POST /exec/a?command=ls HTTP/1.1",
      "Host: node:10250",
      "X-Stream-Protocol-Version: v4.channel.k8s.io",
      "X-Stream-Protocol-Version: v3.channel.k8s.io",
      "Upgrade: SPDY/3.1",
      "",
      "",
    ].join("\r\n"),
  );
});

test("what a side says before it closes still arrives, though the other takes it only afterwards", async () => {
  const heard: string[] = [];
  const waiting: (() => void)[] = [];
  const slow = new Duplex({
    read: () => {},
    write: (chunk, _encoding, taken) => {
      heard.push(String(chunk));
      waiting.push(taken);
    },
  });
  const source = new Duplex({ read: () => {}, write: (_chunk, _encoding, taken) => taken() });
  splice(slow, source);
  for (const words of ["one ", "two ", "the last words"]) source.push(words);
  source.push(null);
  // As a socket does whose other side has closed, once its last bytes are handed on.
  source.once("end", () => source.destroy());
  await new Promise<void>((resolve) => source.once("close", resolve));
  const closed = new Promise<void>((resolve) => slow.once("close", resolve));
  for (let taken = waiting.shift(); taken; taken = waiting.shift()) taken();
  await closed;
  expect(heard.join("")).toBe("one two the last words");
});

test("a side that fails takes the other with it", async () => {
  const [, one] = duplexPair();
  const [, other] = duplexPair();
  splice(one, other);
  one.destroy(new Error("reset by peer"));
  await new Promise<void>((resolve) => other.once("close", resolve));
  expect(other.destroyed).toBe(true);
});
