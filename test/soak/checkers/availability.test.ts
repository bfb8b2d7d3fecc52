import { expect, test } from "vitest";
import { buckets, judgeAvailability, type AvailabilityRule, type Sample } from "./availability.ts";

const sample = (atMs: number, ok = true, tookMs = 5): Sample => ({
  probe: "api",
  atMs,
  tookMs,
  ok,
  ...(ok ? {} : { why: "503" }),
});
const many = (failures: readonly number[]): Sample[] =>
  Array.from({ length: 2_100 }, (_, i) => sample(i * 100, !failures.includes(i)));
const rule: AvailabilityRule = {
  probe: "api",
  leastShare: 0.9995,
  excused: [{ fromMs: 50_000, untilMs: 60_000 }],
  excuse: "lost quorum",
};
const messages = (samples: readonly Sample[]): string[] =>
  judgeAvailability(samples, [rule]).map(({ message }) => message);

test("as many failures as are allowed are allowed, one more is found", () => {
  expect(messages(many([2]))).toEqual([]);
  expect(messages(many([2, 3]))).toEqual([
    "api: 2 of 2000 failed outside lost quorum, 0.05 % are allowed\n    0.2 s: 503\n    0.3 s: 503",
  ]);
});

test("what fails while it is excused does not count, also where it began before", () => {
  expect(messages(many([500, 510, 599]))).toEqual([]);
  expect(messages([...many([]), sample(49_000, false, 2_000), sample(49_500, false, 2_000)])).toEqual([]);
  expect(messages(many([498, 601]))).toHaveLength(1);
});

test("where nobody asked nothing is shown, and that is found", () => {
  expect(messages([sample(55_000)])).toEqual(["api: nobody asked outside lost quorum"]);
});

test("stretches tell of who was asked, who failed, and how long the others took", () => {
  expect(
    buckets([sample(100, true, 3), sample(900, true, 9), sample(950, false, 70), sample(2_100, false)], 1_000),
  ).toEqual([
    { atMs: 0, asked: 3, failed: 1, medianMs: 9, worstMs: 9 },
    { atMs: 2_000, asked: 1, failed: 1, medianMs: undefined, worstMs: undefined },
  ]);
});
