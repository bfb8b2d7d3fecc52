/**
 * The floor of HTTPS: a process that does nothing but send. Every GET gets the same 10 kB; `/list` 10,000 times 10 kB, one
 * write each, as fast as they are taken; `/watch` stays open, and each POST sends `?events=` of 10 kB, joined, to all of them.
 * Arguments: port, files of certificate, key and CA.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { setImmediate as turn } from "node:timers/promises";

const [port, cert, key, ca] = process.argv.slice(2) as [string, string, string, string];
const OBJECTS = 10_000;
const WATCHERS_A_TURN = 64;
const body = Buffer.alloc(10_000, "x");
const event = Buffer.concat([body, Buffer.from("\n")]);
const watchers = new Set<ServerResponse>();

async function answer({ url = "", method }: IncomingMessage, response: ServerResponse): Promise<void> {
  if (method === "POST") {
    await send(Number(new URL(url, "https://bare").searchParams.get("events")));
    response.end();
  } else if (url === "/watch") {
    response.flushHeaders();
    watchers.add(response);
  } else if (url === "/list") {
    for (let i = 0; i < OBJECTS; i++) if (!response.write(body)) await once(response, "drain");
    response.end();
  } else {
    response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
    response.end(body);
  }
}

async function send(events: number): Promise<void> {
  const joined = Buffer.concat(Array.from({ length: events }, () => event));
  let sent = 0;
  for (const watcher of watchers) {
    watcher.write(joined);
    if (++sent % WATCHERS_A_TURN === 0) await turn();
  }
}

const tls = { cert: readFileSync(cert), key: readFileSync(key), ca: readFileSync(ca), requestCert: true };
createServer({ ...tls, rejectUnauthorized: true }, (request, response) => void answer(request, response)).listen(
  Number(port),
  "127.0.0.1",
);
