import { expect, test } from "vitest";
import { INITIAL_MS, MAX_MS } from "./backoff.ts";
import { holdOfStart, holdsShown, type BackedHold } from "./holds.ts";

const pull = { reason: "ErrImagePull", message: "not found" };

test("a pull that fails again and again waits twice as long each time, up to the longest wait", () => {
  const delaysMs: number[] = [];
  let before: BackedHold | undefined;
  for (let i = 0; i < 8; i++) {
    before = holdOfStart(pull, "web:1", before, 1_000);
    delaysMs.push(before.delayMs);
  }
  expect(delaysMs.slice(0, 3)).toEqual([INITIAL_MS, 2 * INITIAL_MS, 4 * INITIAL_MS]);
  expect(delaysMs.at(-1)).toBe(MAX_MS);
});

test("another failure in between starts the wait afresh", () => {
  const first = holdOfStart(pull, "web:1", undefined, 0);
  const other = holdOfStart({ reason: "CreateContainerConfigError", message: "no secret" }, "web:1", first, 0);
  expect(holdOfStart(pull, "web:1", other, 0).delayMs).toBe(INITIAL_MS);
});

test("a failed pull reads as the error for a second, and as backing off from then on", () => {
  const holds = new Map([["web", holdOfStart(pull, "web:1", undefined, 5_000)]]);
  expect(holdsShown(holds, 5_500).get("web")).toMatchObject({ reason: "ErrImagePull", message: "not found" });
  expect(holdsShown(holds, 6_000).get("web")).toMatchObject({
    reason: "ImagePullBackOff",
    message: 'Back-off pulling image "web:1": ErrImagePull: not found',
  });
});
