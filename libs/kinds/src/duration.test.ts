import { expect, test } from "vitest";
import { ageOf, humanDuration } from "./duration.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

test.each([
  [-2 * SECOND, "<invalid>"],
  [-1 * SECOND, "0s"],
  [0, "0s"],
  [SECOND, "1s"],
  [119 * SECOND, "119s"],
  [2 * MINUTE, "2m"],
  [3 * MINUTE + 5 * SECOND, "3m5s"],
  [9 * MINUTE + 59 * SECOND, "9m59s"],
  [10 * MINUTE + 5 * SECOND, "10m"],
  [179 * MINUTE, "179m"],
  [3 * HOUR, "3h"],
  [4 * HOUR + 23 * MINUTE, "4h23m"],
  [8 * HOUR + 30 * MINUTE, "8h"],
  [47 * HOUR, "47h"],
  [2 * DAY, "2d"],
  [2 * DAY + 3 * HOUR, "2d3h"],
  [8 * DAY + 3 * HOUR, "8d"],
  [729 * DAY, "729d"],
  [2 * YEAR, "2y"],
  [2 * YEAR + 5 * DAY, "2y5d"],
  [9 * YEAR + 5 * DAY, "9y"],
])("%i ms is %s", (durationMs, text) => {
  expect(humanDuration(durationMs)).toBe(text);
});

test("an age without a beginning is unknown", () => {
  expect(ageOf(undefined, 0)).toBe("<unknown>");
  expect(ageOf("1970-01-01T00:00:00Z", 5 * MINUTE)).toBe("5m");
});
