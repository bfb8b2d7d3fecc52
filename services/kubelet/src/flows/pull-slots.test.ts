import * as fc from "fast-check";
import { expect, test } from "vitest";
import { PullSlots } from "./pull-slots.ts";

test("never more at once than may be, in the order in which they came, and none is forgotten when one fails", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 4 }), fc.array(fc.boolean(), { maxLength: 20 }), async (most, fates) => {
      const slots = new PullSlots(most);
      const begun: number[] = [];
      let running = 0;
      let peak = 0;
      const outcomes = fates.map((fails, index) =>
        slots.run(async () => {
          begun.push(index);
          peak = Math.max(peak, ++running);
          await Promise.resolve();
          running--;
          if (fails) throw new Error("no");
        }),
      );
      const settled = await Promise.allSettled(outcomes);
      expect(settled.map(({ status }) => status === "rejected")).toEqual(fates);
      expect(begun).toEqual(fates.map((_, index) => index));
      expect(peak).toBe(Math.min(fates.length, most === 0 ? fates.length : most));
    }),
  );
});
