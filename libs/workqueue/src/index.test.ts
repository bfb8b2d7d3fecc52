import { manualClock } from "@pilothouse/clock/manual";
import { seededRandom } from "@pilothouse/clock/seeded";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WorkQueue } from "./index.ts";

function setUp(options: { maxKeys?: number } = {}) {
  const clock = manualClock(0);
  const { tracer, spans } = memoryTelemetry({ clock, random: seededRandom("queue") });
  return { clock, tracer, spans, queue: new WorkQueue({ name: "replicaset", clock, tracer, ...options }) };
}

async function takeAll(queue: WorkQueue): Promise<string[]> {
  const keys: string[] = [];
  while (queue.length > 0) {
    const item = await queue.take();
    if (item) keys.push(item.key);
  }
  return keys;
}

describe("the work queue", () => {
  it("hands out each key once, in the order in which they came", async () => {
    const { queue } = setUp();
    for (const key of ["a", "b", "a", "c", "b"]) queue.add(key);
    expect(await takeAll(queue)).toEqual(["a", "b", "c"]);
  });

  it("holds a key back while it is worked on, and hands it out again after", async () => {
    const { queue } = setUp();
    queue.add("a");
    await queue.take();
    queue.add("a");
    expect(queue.length).toBe(0);
    queue.done("a");
    expect(await takeAll(queue)).toEqual(["a"]);
    queue.done("a");
    expect(queue.idle).toBe(true);
  });

  it("wakes a worker that waits", async () => {
    const { queue } = setUp();
    const waiting = queue.take();
    queue.add("a");
    expect((await waiting)?.key).toBe("a");
  });

  it("doubles the back-off from 5 ms to 1000 s until the key is forgotten", async () => {
    const { queue } = setUp();
    const delays = Array.from({ length: 20 }, () => queue.retry("a"));
    expect(delays.slice(0, 4)).toEqual([5, 10, 20, 40]);
    expect(delays.at(-1)).toBe(1_000_000);
    queue.forget("a");
    expect(queue.retry("a")).toBe(5);
  });

  it("lets the earlier of two times win, and an add now before both", async () => {
    const { clock, queue } = setUp();
    queue.addAfter("a", 100);
    queue.addAfter("a", 50);
    queue.addAfter("a", 200);
    await clock.advance(49);
    expect(queue.length).toBe(0);
    await clock.advance(1);
    expect(await takeAll(queue)).toEqual(["a"]);
    queue.done("a");
    await clock.advance(1_000);
    expect(queue.idle).toBe(true);
  });

  it("names the wait in a span between cause and work, and keeps other causes as links", async () => {
    const { clock, tracer, spans, queue } = setUp();
    const [create, update] = [tracer.start("create"), tracer.start("update")];
    queue.add("default/web", create.context);
    await clock.advance(30);
    queue.add("default/web", update.context);
    queue.add("default/web", update.context);
    const item = await queue.take();
    expect(item?.waitedMs).toBe(30);
    expect(item?.links).toEqual([update.context]);
    expect(spans).toHaveLength(1);
    expect(spans[0]).toMatchObject({ name: "replicaset queue", parent: create.context, startTimeMs: 0, endTimeMs: 30 });
    expect(item?.parent).toEqual(spans[0]?.context);
  });

  it("names a back-off as what the key waited for", async () => {
    const { clock, tracer, spans, queue } = setUp();
    const cause = tracer.start("create").context;
    queue.retry("a", [cause]);
    await clock.advance(5);
    await queue.take();
    expect(spans[0]).toMatchObject({ name: "replicaset backoff", parent: cause, attributes: { "wait.ms": 5 } });
  });

  it("refuses and counts keys over its bound, but never a key it already holds", () => {
    const { queue } = setUp({ maxKeys: 2 });
    expect([queue.add("a"), queue.addAfter("b", 10), queue.add("c"), queue.add("a")]).toEqual([
      true,
      true,
      false,
      true,
    ]);
    expect(queue.refused).toBe(1);
  });

  it("leaves no timer and no waiting worker behind when it is shut down", async () => {
    const { clock, queue } = setUp();
    queue.addAfter("a", 10);
    const waiting = queue.take();
    queue.shutDown();
    expect(await waiting).toBeUndefined();
    expect(await queue.take()).toBeUndefined();
    expect(queue.add("a")).toBe(false);
    expect(clock.pending()).toBe(0);
  });

  it("never hands a key to two workers, and loses none", async () => {
    const key = fc.constantFrom("a", "b", "c");
    const step = fc.oneof(
      fc.record({ do: fc.constant("add" as const), key }),
      fc.record({ do: fc.constant("addAfter" as const), key, delayMs: fc.integer({ min: 0, max: 30 }) }),
      fc.record({ do: fc.constant("retry" as const), key }),
      fc.record({ do: fc.constant("take" as const) }),
      fc.record({ do: fc.constant("done" as const), key }),
      fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 40 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { clock, queue } = setUp();
        const working = new Set<string>();
        const owed = new Set<string>();
        const take = async (): Promise<void> => {
          const item = await queue.take();
          expect(working.has(item?.key as string)).toBe(false);
          working.add(item?.key as string);
          owed.delete(item?.key as string);
        };
        for (const step of steps) {
          if (step.do === "add" && queue.add(step.key)) owed.add(step.key);
          if (step.do === "addAfter" && queue.addAfter(step.key, step.delayMs)) owed.add(step.key);
          if (step.do === "retry" && queue.retry(step.key) >= 0) owed.add(step.key);
          if (step.do === "take" && queue.length > 0) await take();
          if (step.do === "done" && working.delete(step.key)) queue.done(step.key);
          if (step.do === "wait") await clock.advance(step.ms);
        }
        for (const key of working) queue.done(key);
        working.clear();
        await clock.advance(2_000_000);
        while (queue.length > 0) await take();
        expect(owed).toEqual(new Set());
      }),
      { numRuns: 60 },
    );
  });
});
