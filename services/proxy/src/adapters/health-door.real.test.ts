import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { healthDoor } from "./health-door.ts";

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

const answer = () => ({ status: 503 as const, headers: { "x-load-balancing-endpoint-weight": "0" }, body: "{}" });

test("whoever asks is answered until the port is closed; a taken port is refused", async () => {
  const port = await freePort();
  const door = healthDoor();
  const close = await door.open(port, answer);
  const response = await fetch(`http://127.0.0.1:${port}/healthz`);
  expect([response.status, response.headers.get("x-load-balancing-endpoint-weight"), await response.text()]).toEqual([
    503,
    "0",
    "{}",
  ]);
  await expect(door.open(port, answer)).rejects.toThrow("EADDRINUSE");
  await close();
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
});

test("only on the addresses that the owner names", async () => {
  const port = await freePort();
  const close = await healthDoor(["127.0.0.2/32"]).open(port, answer);
  expect((await fetch(`http://127.0.0.2:${port}/`)).status).toBe(503);
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  await close();
});
