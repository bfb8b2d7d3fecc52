/** Worlds of the first seeds, on all cores. A simulation that cannot fail is worse than none: each mutant is noticed. */
import { expect, test } from "vitest";
import { Coverage, SHOWN } from "./coverage.ts";
import { mutants, type Mutant } from "./mutants.ts";
import { runSeeds, type SeedReport } from "./shards.ts";

/** If so many seeds do not notice a mutant, the simulation has gone blind. */
const SEEDS = Array.from({ length: 50 }, (_, i) => i + 1);
const LONG_MS = 600_000;

test("the same seed twice is the same world, event by event", { timeout: LONG_MS }, async () => {
  const [one, two] = await Promise.all([only(3), only(3)]);
  expect(two.story).toEqual(one.story);
  expect(two.digest).toBe(one.digest);
  expect((await only(4)).digest).not.toBe(one.digest);
});

test("whatever goes wrong, every invariant holds, all converges and is quiet", { timeout: LONG_MS }, async () => {
  const coverage = new Coverage();
  for await (const { seed, failure, counts } of runSeeds({ seeds: SEEDS })) {
    expect(failure?.message, `npm run sim -- --from ${seed} --seeds 1`).toBeUndefined();
    coverage.add(counts);
  }
  expect(coverage.missing(SHOWN), "faults that no seed has shown").toEqual([]);
});

test.each(mutants)("$rule $name: $why", { timeout: LONG_MS }, async (mutant) => {
  const failed = await firstToNotice(mutant);
  expect(failed?.failure?.message ?? `${SEEDS.length} seeds noticed nothing`).toMatch(mutant.noticedAs);
  if (failed && failed.seed !== mutant.seed)
    process.stdout.write(`${mutant.name} is now noticed by seed ${failed.seed}\n`);
});

/** Begins with the seed that is known to notice. */
async function firstToNotice({ name, seed: known }: Mutant): Promise<SeedReport | undefined> {
  const report = await only(known, name);
  if (report.failure) return report;
  for await (const other of runSeeds({ seeds: SEEDS, mutant: name })) if (other.failure) return other;
  return undefined;
}

async function only(seed: number, mutant?: string): Promise<SeedReport> {
  for await (const report of runSeeds({ seeds: [seed], mutant })) return report;
  throw new Error(`seed ${seed} was not run`);
}
