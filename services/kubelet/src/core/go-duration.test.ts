import { expect, test } from "vitest";
import { goMilliseconds } from "./go-duration.ts";

test.each([
  [0, "0s"],
  [345, "345ms"],
  [1_000, "1s"],
  [1_234, "1.234s"],
  [59_900, "59.9s"],
  [60_000, "1m0s"],
  [120_250, "2m0.25s"],
  [3_603_000, "1h0m3s"],
])("%i is %s", (ms, text) => {
  expect(goMilliseconds(ms)).toBe(text);
});
