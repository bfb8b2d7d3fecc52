import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Aggregator, SpamFilter } from "./event-limits.ts";

test("in any stretch of time no more is told of one thing than 25, and one more in each five minutes; of others as much", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 400_000 }), { maxLength: 80 }), (gaps) => {
      const filter = new SpamFilter();
      const told: number[] = [];
      let nowMs = 0;
      for (const gap of gaps) {
        nowMs += gap;
        if (filter.admits("a", nowMs)) told.push(nowMs);
      }
      for (let from = 0; from < told.length; from++) {
        const span = (told.at(-1) ?? 0) - (told[from] ?? 0);
        expect(told.length - from).toBeLessThanOrEqual(25 + span / 300_000 + 1e-9);
      }
      expect(told.length).toBeGreaterThanOrEqual(Math.min(25, gaps.length));
      expect(filter.admits("b", nowMs)).toBe(true);
    }),
  );
});

test("the tenth different message of one kind is the first of a combined event; after ten quiet minutes it begins anew", () => {
  const aggregator = new Aggregator();
  const said = (message: string, nowMs = 0): string => aggregator.combine("pod Warning Failed", message, nowMs).message;
  for (let n = 1; n < 10; n++) expect(said(`m${n}`)).toBe(`m${n}`);
  expect(said("m1")).toBe("m1");
  expect([said("m10"), said("m11")]).toEqual([
    "(combined from similar events): m10",
    "(combined from similar events): m11",
  ]);
  expect(aggregator.combine("pod Warning Failed", "m12", 0).key).toBe("pod Warning Failed");
  expect(aggregator.combine("pod Normal Pulled", "m12", 0).message).toBe("m12");
  expect(said("m13", 600_001)).toBe("m13");
});
