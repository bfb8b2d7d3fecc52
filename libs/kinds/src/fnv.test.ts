import { expect, test } from "vitest";
import { fnv128Hex, fnv32 } from "./fnv.ts";

/** Of the hash's own specification. */
test.each([
  ["", 0x811c9dc5, "6c62272e07bb014262b821756295c58d"],
  ["a", 0xe40c292c, "d228cb696f1a8caf78912b704e4a8964"],
  ["foobar", 0xbf9cf968, "343e1662793c64bf6f0d3597ba446f18"],
])("FNV-1a of %j", (text, of32, of128) => {
  expect([fnv32(text), fnv128Hex(text)]).toEqual([of32, of128]);
});
