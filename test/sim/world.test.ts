import { readFile } from "node:fs/promises";
import { sleep } from "@pilothouse/clock";
import { expect, test } from "vitest";
import { Machine } from "./machine.ts";
import { inWorld, setTraps, Trapped } from "./traps.ts";
import { World } from "./world.ts";

test("events come by time, those of one time in an order that the seed decides", async () => {
  const orderOf = async (seed: string): Promise<string> => {
    const world = new World(seed);
    let order = "";
    world.at(20, "z", () => (order += "z"));
    for (const name of "abcdefgh") world.at(10, name, () => (order += name));
    await world.run(100);
    return order;
  };
  expect(await orderOf("1")).toMatch(/^[a-h]{8}z$/);
  expect(await orderOf("1")).toBe(await orderOf("1"));
  expect(await orderOf("1")).not.toBe(await orderOf("2"));
});

test("all promises of a step settle before the next one", async () => {
  const world = new World("1");
  const seen: string[] = [];
  world.at(1, "first", () => {
    void (async () => {
      for (let i = 0; i < 50; i++) await Promise.resolve();
      seen.push("settled");
    })();
  });
  world.at(1.001, "second", () => seen.push("next"));
  await world.run(10);
  expect(seen).toEqual(["settled", "next"]);
});

test("a crash silences a life for ever; the next one has its own chance", async () => {
  const world = new World("1");
  const machine = new Machine(world, "m");
  const first = machine.boot();
  const heard: string[] = [];
  first.after(10, "a timer", () => heard.push("timer"));
  void sleep(first.clock, 20).then(() => heard.push("slept"));
  void first.seen("a port", Promise.resolve()).then(() => heard.push("answered"));
  const answer = first.random.next();
  machine.crash();
  const second = machine.boot();
  second.after(30, "a timer", () => heard.push("second life"));
  await world.run(100);
  expect(heard).toEqual(["second life"]);
  expect(second.random.next()).not.toBe(answer);
});

test("a pause defers what happens to a machine, in its order", async () => {
  const world = new World("1");
  const machine = new Machine(world, "m");
  const life = machine.boot();
  const heard: string[] = [];
  for (const ms of [10, 20, 30]) life.after(ms, "a timer", () => heard.push(`${ms} at ${world.nowMs}`));
  world.at(15, "pause", () => machine.pause());
  world.at(50, "resume", () => machine.resume());
  await world.run(100);
  expect(heard).toEqual(["10 at 10", "20 at 50", "30 at 50"]);
});

test("whatever would make two runs differ throws inside a world, and nowhere else", async () => {
  const free = setTraps();
  try {
    const forbidden: readonly (() => unknown)[] = [
      () => Date.now(),
      () => new Date(),
      () => Math.random(),
      () => performance.now(),
      () => setTimeout(() => undefined, 1),
      () => crypto.randomUUID(),
      () => crypto.subtle.digest("SHA-256", new Uint8Array()),
      () => readFile("/etc/hostname"),
      () => AbortSignal.timeout(1),
      () => new WeakRef({}),
      () => "a".localeCompare("b"),
    ];
    for (const use of forbidden) expect(() => inWorld(use)).toThrow(Trapped);
    expect(inWorld(() => new Date(0).toISOString())).toBe("1970-01-01T00:00:00.000Z");
    expect(Date.now()).toBeGreaterThan(0);
    expect(await readFile("/etc/hostname", "utf8")).not.toBe("");
  } finally {
    free();
  }
  expect(inWorld(() => Date.now())).toBeGreaterThan(0);
});
