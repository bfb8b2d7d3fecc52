import { credentials } from "@grpc/grpc-js";
import { manualClock } from "@pilothouse/clock/manual";
import { expect, test } from "vitest";
import { Connection } from "./connection.ts";

test("a call on a connection that another call's failure has closed was surely not made, and leaves nothing behind", async () => {
  const clock = manualClock();
  const connection = new Connection("http://127.0.0.1:1", credentials.createInsecure(), clock);
  connection.close();
  const call = { service: "KV", method: "range", request: {} } as const;
  await expect(connection.unary(call, 1_000)).rejects.toMatchObject({ name: "StoreUnavailable", outcome: "none" });
  await expect(connection.ready("KV", 1_000)).rejects.toMatchObject({ name: "StoreUnavailable", outcome: "none" });
  expect(() => connection.stream("Watch", "watch")).toThrow("the connection was closed");
  expect(clock.pending()).toBe(0);
});
