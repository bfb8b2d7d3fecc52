import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { ClusterEvent } from "./framework.ts";
import { MAX_UNSCHEDULABLE_MS, SchedulingQueue } from "./queue.ts";

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

test("a rejected pod waits for the change that can undo its rejection, and for its back-off", () => {
  const queue = new SchedulingQueue();
  queue.add("default/big", 0, 0);
  queue.pop(0);
  queue.rejected("default/big", new Set<ClusterEvent>(["NodeAdded"]), 0);
  queue.onEvent("PodAdded", 5_000);
  expect(queue.pop(5_000)).toBeUndefined();
  queue.onEvent("NodeAdded", 5_000);
  expect(queue.pop(5_000)).toBe("default/big");
});

test("a change that comes while the pod is in flight is not missed", () => {
  const queue = new SchedulingQueue();
  queue.add("default/big", 0, 0);
  queue.pop(0);
  queue.onEvent("NodeAdded", 1);
  queue.rejected("default/big", new Set<ClusterEvent>(["NodeAdded"]), 2);
  expect(queue.nextDueMs()).toBe(1_002);
  expect(queue.pop(1_002)).toBe("default/big");
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
        } else if (one.do === "event") queue.onEvent("NodeChanged", nowMs);
        else if (inFlight.delete(`p${one.pod}`)) {
          if (one.do === "reject") queue.rejected(`p${one.pod}`, new Set<ClusterEvent>(["NodeChanged"]), nowMs);
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
