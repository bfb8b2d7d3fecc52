import { connect, createServer, type AddressInfo } from "node:net";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { expect, test } from "vitest";
import { tcpProxy, until } from "./index.ts";

test("a request arrives though its answer is held back, and the answer is lost with the connection", async () => {
  let asked = "";
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (data) => {
      asked += data.toString();
      socket.write("answer");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy = await tcpProxy((server.address() as AddressInfo).port);
  const client = connect(proxy.port, "127.0.0.1");
  let answers = "";
  let isClosed = false;
  client.on("data", (data) => (answers += data.toString()));
  client.on("error", () => undefined);
  client.on("close", () => (isClosed = true));
  client.write("1");
  await until("the first is answered", () => answers === "answer");
  proxy.holdAnswers();
  client.write("2");
  await until("the second has arrived", () => asked === "12");
  proxy.cut();
  proxy.thaw();
  await until("the connection is gone", () => isClosed);
  expect(answers).toBe("answer");
  await proxy.close();
  await new Promise((resolve) => server.close(resolve));
});

test("a delay that ends lets nothing overtake what was sent before", async () => {
  let received = "";
  const server = createServer((socket) => void socket.on("data", (data) => (received += data.toString())));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy = await tcpProxy((server.address() as AddressInfo).port);
  const client = connect(proxy.port, "127.0.0.1");
  for (const [delayMs, text] of [
    [0, "1"],
    [300, "2"],
    [0, "3"],
    [100, "4"],
    [0, "5"],
  ] as const) {
    proxy.delay(delayMs);
    client.write(text);
    await sleep(systemClock, 20);
  }
  await until("all is there", () => received.length === 5);
  expect(received).toBe("12345");
  client.destroy();
  await proxy.close();
  await new Promise((resolve) => server.close(resolve));
});
