import { expect, test } from "vitest";
import { withoutFencing, withoutOwnWrites } from "./mutants.ts";
import { runSeed } from "./seeds.ts";
import type { Mutant } from "./cluster.ts";

const FEW_SEEDS_MS = 120_000;
/** Found with `npm run sim -- --seeds 50 --mutant …`: the first seeds that notice, and some of their neighbours. */
const MUTANT_SEEDS = 50;

test("the same seed twice is the same world, event by event", async () => {
  const [one, two] = [await runSeed(3), await runSeed(3)];
  expect(two.digest).toBe(one.digest);
  expect(two.story).toEqual(one.story);
  expect((await runSeed(4)).digest).not.toBe(one.digest);
});

test(
  "twenty worlds with everything that can go wrong keep every invariant, converge and are quiet",
  async () => {
    for (let seed = 1; seed <= 20; seed++) expect(failureOf(await runSeed(seed))).toBe("");
  },
  FEW_SEEDS_MS,
);

test(
  "without fencing a deposed leader's write is accepted, and noticed",
  async () => {
    expect(await firstFailure(withoutFencing)).toMatch(/^I1: /);
  },
  FEW_SEEDS_MS,
);

test(
  "without reading its own writes a controller makes too many pods, and it is noticed",
  async () => {
    expect(await firstFailure(withoutOwnWrites)).toMatch(/^I3: /);
  },
  FEW_SEEDS_MS,
);

async function firstFailure(mutant: Mutant): Promise<string> {
  for (let seed = 1; seed <= MUTANT_SEEDS; seed++) {
    const failure = failureOf(await runSeed(seed, mutant));
    if (failure !== "") return failure;
  }
  return `${MUTANT_SEEDS} seeds noticed nothing`;
}

function failureOf({ failure, seed }: Awaited<ReturnType<typeof runSeed>>): string {
  return failure ? `${failure.message} (npm run sim -- --from ${seed} --seeds 1)` : "";
}
