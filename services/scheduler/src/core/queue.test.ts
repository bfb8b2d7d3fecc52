import * as fc from "fast-check";
import { expect, test } from "vitest";
import { node, pod } from "./cluster.fixture.ts";
import type { ClusterEvent } from "./events.ts";
import { MAX_BACKOFF_MS, MAX_UNSCHEDULABLE_MS, SchedulingQueue } from "./queue.ts";

const NEW_NODE: ClusterEvent = { what: "node added", node: node("n") };
const NEW_POD: ClusterEvent = { what: "pod placed", pod: pod("other") };
const byNewNodes = ({ what }: ClusterEvent): boolean => what === "node added";

test("the highest priority goes first, then who has waited longest", () => {
  const queue = new SchedulingQueue();
  queue.add("default/late", 0, 20);
  queue.add("default/early", 0, 10);
  queue.add("default/critical", 1000, 30);
  expect([queue.pop(40), queue.pop(40), queue.pop(40), queue.pop(40)]).toEqual([
    "default/critical",
    "default/early",
    "default/late",
    undefined,
  ]);
});

test("who was tried goes behind those of its priority who were not: none keeps the others from their turn", () => {
  const queue = new SchedulingQueue();
  for (const key of ["default/first", "default/second"]) queue.add(key, 0, 0);
  queue.pop(0);
  queue.failed("default/first", 0);
  queue.pop(0);
  queue.failed("default/second", 0);
  expect(queue.pop(1_000)).toBe("default/first");
  queue.failed("default/first", 1_000);
  expect(queue.pop(20_000)).toBe("default/second");
});

test("a rejected pod waits for the event that can undo its rejection, and for its back-off", () => {
  const queue = new SchedulingQueue();
  queue.add("default/big", 0, 0);
  queue.pop(0);
  queue.rejected("default/big", byNewNodes, 0);
  queue.onEvent(NEW_POD, 5_000);
  expect(queue.counts()).toMatchObject({ unschedulable: 1 });
  expect(queue.pop(5_000)).toBeUndefined();
  queue.onEvent(NEW_NODE, 5_000);
  expect(queue.pop(5_000)).toBe("default/big");
});

test("an event that comes while the pod is in flight is not missed, and one that cannot help is not minded", () => {
  const queue = new SchedulingQueue();
  for (const key of ["default/big", "default/shy"]) queue.add(key, 0, 0);
  expect([queue.pop(0), queue.pop(0)]).toEqual(["default/big", "default/shy"]);
  queue.onEvent(NEW_NODE, 1);
  queue.rejected("default/big", byNewNodes, 2);
  queue.rejected("default/shy", ({ what }) => what === "pod left", 2);
  expect(queue.counts()).toMatchObject({ backoff: 1, unschedulable: 1 });
  expect(queue.nextDueMs()).toBe(1_002);
  expect(queue.pop(1_002)).toBe("default/big");
});

test("back-off is 1 s, doubles with every try, and is never more than 10 s", () => {
  const queue = new SchedulingQueue();
  queue.add("default/big", 0, 0);
  const waits: number[] = [];
  for (let nowMs = 0, tries = 0; tries < 6; tries++) {
    expect(queue.pop(nowMs)).toBe("default/big");
    queue.failed("default/big", nowMs);
    const dueMs = queue.nextDueMs() as number;
    expect(queue.pop(dueMs - 1)).toBeUndefined();
    waits.push(dueMs - nowMs);
    nowMs = dueMs;
  }
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, MAX_BACKOFF_MS, MAX_BACKOFF_MS]);
});

test("a pod that changed itself is tried again, also when it did so in flight", () => {
  const queue = new SchedulingQueue();
  queue.add("default/web", 0, 0);
  queue.pop(0);
  queue.add("default/web", 5, 1);
  queue.rejected("default/web", () => false, 2);
  expect(queue.pop(1_002)).toBe("default/web");
  queue.rejected("default/web", () => false, 1_003);
  queue.add("default/web", 5, 60_000);
  expect(queue.pop(60_000)).toBe("default/web");
});

test("more events in flight than are remembered count as one that helps", () => {
  const queue = new SchedulingQueue();
  queue.add("default/web", 0, 0);
  queue.pop(0);
  for (let events = 0; events < 2_000; events++) queue.onEvent(NEW_POD, 1);
  queue.rejected("default/web", () => false, 2);
  expect(queue.counts()).toMatchObject({ backoff: 1, unschedulable: 0 });
});

test("whatever happens, a pod that nobody removed is tried again in the end, and never twice at once", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("add" as const), pod: fc.integer({ min: 0, max: 4 }) }),
    fc.record({ do: fc.constant("pop" as const) }),
    fc.record({ do: fc.constant("reject" as const), pod: fc.integer({ min: 0, max: 4 }) }),
    fc.record({ do: fc.constant("fail" as const), pod: fc.integer({ min: 0, max: 4 }) }),
    fc.record({ do: fc.constant("event" as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new SchedulingQueue();
      const known = new Set<string>();
      const inFlight = new Set<string>();
      let nowMs = 0;
      for (const one of steps) {
        nowMs += 300;
        if (one.do === "add") {
          queue.add(`p${one.pod}`, 0, nowMs);
          known.add(`p${one.pod}`);
        } else if (one.do === "pop") {
          const key = queue.pop(nowMs);
          if (key !== undefined) {
            expect(inFlight.has(key)).toBe(false);
            inFlight.add(key);
          }
        } else if (one.do === "event") queue.onEvent(NEW_NODE, nowMs);
        else if (inFlight.delete(`p${one.pod}`)) {
          if (one.do === "reject") queue.rejected(`p${one.pod}`, byNewNodes, nowMs);
          else queue.failed(`p${one.pod}`, nowMs);
        }
      }
      for (const key of inFlight) queue.failed(key, nowMs);
      nowMs += MAX_UNSCHEDULABLE_MS + 10_000;
      const tried = new Set<string>();
      for (let key = queue.pop(nowMs); key !== undefined; key = queue.pop(nowMs)) tried.add(key);
      expect(tried).toEqual(known);
    }),
  );
});
