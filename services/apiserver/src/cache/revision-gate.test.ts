import { manualClock } from "@pilothouse/clock/manual";
import { expect, test } from "vitest";
import { RevisionGate } from "./revision-gate.ts";

function setUp() {
  const clock = manualClock();
  const reads: ((revision: number) => void)[] = [];
  let reconnects = 0;
  const gate = new RevisionGate({
    clock,
    readRevision: () => new Promise((resolve) => reads.push(resolve)),
    onBehind: () => void reconnects++,
  });
  gate.advance(5);
  return { clock, gate, reads, reconnects: () => reconnects };
}

test("readers share the next read of the revision, never one in flight", async () => {
  const { gate, reads } = setUp();
  const first = gate.currentRevision();
  const late = [gate.currentRevision(), gate.currentRevision(), gate.currentRevision()];
  expect(reads).toHaveLength(1);
  reads[0]?.(7);
  expect(await first).toBe(7);
  await Promise.resolve();
  expect(reads).toHaveLength(2);
  const later = gate.currentRevision();
  reads[1]?.(9);
  expect(await Promise.all(late)).toEqual([9, 9, 9]);
  await Promise.resolve();
  reads[2]?.(11);
  expect(await later).toBe(11);
});

test("waiting ends when the revision is reached, when nobody waits any more, or after three seconds", async () => {
  const { clock, gate } = setUp();
  await gate.waitFor(5);
  const reached = gate.waitFor(6);
  const abort = new AbortController();
  const left = expect(gate.waitFor(6, abort.signal)).rejects.toThrow("aborted");
  abort.abort(new Error("aborted"));
  await left;
  gate.advance(6);
  await reached;
  const never = expect(gate.waitFor(8)).rejects.toMatchObject({ code: 504, reason: "Timeout" });
  await clock.advance(2_999);
  gate.advance(7);
  await clock.advance(1);
  await never;
  expect(clock.pending()).toBe(0);
});

test("a known revision that misses for a second breaks the stream, once each second, until it comes (C7)", async () => {
  const { clock, gate, reconnects } = setUp();
  gate.learn(8);
  await clock.advance(999);
  expect([gate.behind, reconnects()]).toEqual([false, 0]);
  await clock.advance(1);
  expect([gate.behind, reconnects()]).toEqual([true, 1]);
  gate.advance(7);
  await clock.advance(1_000);
  expect([gate.behind, reconnects()]).toEqual([true, 2]);
  gate.advance(8);
  await clock.advance(5_000);
  expect([gate.behind, reconnects()]).toEqual([false, 2]);
  expect(clock.pending()).toBe(0);
});
