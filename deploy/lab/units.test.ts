import { expect, test } from "vitest";
import { clockDropIn } from "./units.ts";

test("a unit's clock is early or late by libfaketime, and its monotonic clock is left alone", () => {
  expect(clockDropIn("/usr/lib/faketime.so", 3_600)).toBe(`[Service]
Environment=LD_PRELOAD=/usr/lib/faketime.so
Environment=FAKETIME=+3600s
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1
`);
  expect(clockDropIn("/usr/lib/faketime.so", -60)).toContain("FAKETIME=-60s\n");
});
