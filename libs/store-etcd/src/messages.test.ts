import { expect, test } from "vitest";
import { safeNumber } from "./messages.ts";

test("a revision that a number cannot hold exactly is refused, not rounded", () => {
  expect(safeNumber("9007199254740991")).toBe(Number.MAX_SAFE_INTEGER);
  // What etcd3's own watch would ask for.
  expect(Number("9007199254740993")).toBe(9_007_199_254_740_992);
  expect(() => safeNumber("9007199254740993")).toThrow(RangeError);
});
