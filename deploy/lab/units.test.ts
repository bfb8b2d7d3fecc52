import { expect, test } from "vitest";
import { clockDropIn } from "./units.ts";

test("a unit's clock is early or late by libfaketime, and its monotonic clock is left alone", () => {
  expect(clockDropIn("/usr/lib/faketime.so", "/etc/lab-clock-dns")).toBe(`[Service]
Environment=LD_PRELOAD=/usr/lib/faketime.so
Environment=FAKETIME_TIMESTAMP_FILE=/etc/lab-clock-dns FAKETIME_CACHE_DURATION=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1
`);
});
