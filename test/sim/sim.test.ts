import { expect, test } from "vitest";
import type { Mutant } from "./cluster.ts";
import { withoutFencing, withoutLookingFirst, withoutOwnWrites } from "./mutants.ts";
import { runSeed, type SeedResult } from "./seeds.ts";

const SEEDS = 20;
/** A mutant that this many seeds do not notice means that the simulation has gone blind. */
const MUTANT_SEEDS = 50;
const LONG_MS = 300_000;

test("the same seed twice is the same world, event by event", { timeout: LONG_MS }, async () => {
  const [one, two] = [await runSeed(3), await runSeed(3)];
  expect(two.story).toEqual(one.story);
  expect(two.digest).toBe(one.digest);
  expect((await runSeed(4)).digest).not.toBe(one.digest);
});

test("whatever goes wrong, every invariant holds, all converges and is quiet", { timeout: LONG_MS }, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) expect(failureOf(await runSeed(seed))).toBe("");
});

test("without fencing a deposed leader's write is accepted, and noticed", { timeout: LONG_MS }, async () => {
  expect(await firstFailure(withoutFencing)).toMatch(/^I1: /);
});

test(
  "without reading its own writes a controller makes too many pods, and it is noticed",
  { timeout: LONG_MS },
  async () => {
    expect(await firstFailure(withoutOwnWrites)).toMatch(/^I3: /);
  },
);

test("a new leader that does not look first makes too many pods, and it is noticed", { timeout: LONG_MS }, async () => {
  expect(await firstFailure(withoutLookingFirst)).toMatch(/^I[345]: /);
});

async function firstFailure(mutant: Mutant): Promise<string> {
  for (let seed = 1; seed <= MUTANT_SEEDS; seed++) {
    const failure = failureOf(await runSeed(seed, mutant));
    if (failure !== "") return failure;
  }
  return `${MUTANT_SEEDS} seeds noticed nothing`;
}

function failureOf({ failure, seed }: SeedResult): string {
  return failure ? `${failure.message} (npm run sim -- --from ${seed} --seeds 1)` : "";
}
