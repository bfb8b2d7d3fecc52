import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  commonWrittenIndex,
  countCommonIndexes,
  countIndexes,
  countWrittenIndexes,
  formatIndexes,
  hasIndex,
  intervalsOf,
  mergeIndexes,
  parseIndexes,
} from "./index-intervals.ts";

const indexes = fc.uniqueArray(fc.integer({ min: 0, max: 60 }));

describe("a set of indexes", () => {
  test("is written as upstream writes it", () => {
    expect(formatIndexes(intervalsOf([7, 1, 3, 4, 5]))).toBe("1,3-5,7");
    expect(formatIndexes(intervalsOf([1, 2]))).toBe("1,2");
    expect(formatIndexes([])).toBe("");
  });

  test("survives writing and reading", () => {
    fc.assert(
      fc.property(indexes, (list) => {
        const intervals = intervalsOf(list);
        expect(parseIndexes(formatIndexes(intervals), 100)).toEqual(intervals);
        expect(countWrittenIndexes(formatIndexes(intervals), 100)).toBe(list.length);
        expect(countIndexes(intervals)).toBe(list.length);
        for (let index = 0; index <= 61; index++) expect(hasIndex(intervals, index)).toBe(list.includes(index));
      }),
    );
  });

  test("joins and meets others as sets do", () => {
    fc.assert(
      fc.property(indexes, indexes, (a, b) => {
        expect(mergeIndexes(intervalsOf(a), intervalsOf(b))).toEqual(intervalsOf(new Set([...a, ...b])));
        const common = a.filter((index) => b.includes(index));
        expect(countCommonIndexes(intervalsOf(a), intervalsOf(b))).toBe(common.length);
        const [first] = common.sort((one, other) => one - other);
        expect(commonWrittenIndex(formatIndexes(intervalsOf(a)), formatIndexes(intervalsOf(b)), 100)).toBe(first);
      }),
    );
  });

  test("of a Job that was made smaller is cut off", () => {
    expect(formatIndexes(parseIndexes("0,2-5,7", 4))).toBe("0,2,3");
    expect(formatIndexes(parseIndexes("x,1,3-y", 9))).toBe("1");
  });
});

test.each([
  ["3-1", "non-increasing order, previous: 3, current: 1"],
  ["0-3,2", "non-increasing order, previous: 3, current: 2"],
  [
    "1-2-3",
    `the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by '-'`,
  ],
  ["a", 'cannot convert string to integer for index: "a"'],
  ["8", 'too large index: "8"'],
])("%s is refused in upstream's words", (text, message) => {
  expect(() => countWrittenIndexes(text, 8)).toThrow(message);
});
