import { expect, test } from "vitest";
import { warningHeaders } from "./warnings.ts";

test("a warning is quoted and escaped; what is not ASCII goes as the bytes of UTF-8", () => {
  expect(warningHeaders(['unknown field "a\\b"', "größer"])).toEqual([
    '299 - "unknown field \\"a\\\\b\\""',
    `299 - "${Buffer.from("größer").toString("latin1")}"`,
  ]);
});

test("a text that would break out of its header is left out", () => {
  expect(warningHeaders(["one\r\nx-evil: 1", "two"])).toEqual(['299 - "two"']);
});

test("many warnings are cut to 256 characters each, and end after 4,096", () => {
  const long = Array.from({ length: 40 }, (_, i) => `${i} ${"x".repeat(1_000)}`);
  const headers = warningHeaders(long);
  expect(headers).toHaveLength(16);
  expect(new Set(headers.map(({ length }) => length))).toEqual(new Set(['299 - ""'.length + 256]));
  expect(warningHeaders(long.slice(0, 4))[0]).toHaveLength('299 - ""'.length + 1_002);
});
