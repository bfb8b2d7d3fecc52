/** A rule taken away is noticed: a simulation that cannot fail is worse than none. */
import { expect, test } from "vitest";
import type { Mutant } from "./cluster.ts";
import { withoutFencing, withoutLookingFirst, withoutOwnWrites } from "./mutants.ts";
import { runSeed } from "./seeds.ts";

/** If so many seeds do not notice, the simulation has gone blind. */
const SEEDS = 50;
const LONG_MS = 300_000;

test("without fencing a deposed leader's write is accepted", { timeout: LONG_MS }, async () => {
  expect(await firstFailure(withoutFencing)).toMatch(/^I1: /);
});

test("without reading its own writes a controller makes too many pods", { timeout: LONG_MS }, async () => {
  expect(await firstFailure(withoutOwnWrites)).toMatch(/^I3: /);
});

test(
  "a new leader that does not look first makes too many pods, or deletes too many",
  { timeout: LONG_MS },
  async () => {
    expect(await firstFailure(withoutLookingFirst)).toMatch(/^I[345]: /);
  },
);

async function firstFailure(mutant: Mutant): Promise<string> {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { failure } = await runSeed(seed, mutant);
    if (failure) return failure.message;
  }
  return `${SEEDS} seeds noticed nothing`;
}
