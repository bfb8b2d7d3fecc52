import { expect, test } from "vitest";
import { runSeed } from "./seeds.ts";

const SEEDS = 20;
const LONG_MS = 300_000;

test("the same seed twice is the same world, event by event", { timeout: LONG_MS }, async () => {
  const [one, two] = [await runSeed(3), await runSeed(3)];
  expect(two.story).toEqual(one.story);
  expect(two.digest).toBe(one.digest);
  expect((await runSeed(4)).digest).not.toBe(one.digest);
});

test("whatever goes wrong, every invariant holds, all converges and is quiet", { timeout: LONG_MS }, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { failure } = await runSeed(seed);
    expect(failure?.message, `npm run sim -- --from ${seed} --seeds 1`).toBeUndefined();
  }
});
