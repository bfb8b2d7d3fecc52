/** `npm run sim -- --seeds N [--from S]`: tells of each seed, and the whole story of the first that fails. */
import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { mutants } from "./mutants.ts";
import { runSeed, type SeedResult } from "./seeds.ts";
import type { StoryLine } from "./world.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "20" },
    from: { type: "string", default: "1" },
    /** Prints the story also of seeds that pass. */
    story: { type: "boolean", default: false },
    /** Takes a rule away; stops at the first seed that notices. */
    mutant: { type: "string" },
  },
});
const from = Number(values.from);
const count = Number(values.seeds);
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count) || count < 1) {
  process.stderr.write("usage: npm run sim -- --seeds N [--from S] [--story]\n");
  process.exit(2);
}

const mutant = mutants.find(({ name }) => name === values.mutant);
const all = createHash("sha256");
const failed: number[] = [];
for (let seed = from; seed < from + count; seed++) {
  const startedMs = performance.now();
  const result = await runSeed(seed, mutant);
  all.update(`${seed} ${result.digest}\n`);
  if (result.failure) failed.push(seed);
  print(summary(result, performance.now() - startedMs));
  if (result.failure || values.story) printStory(result);
  if (result.failure && mutant) break;
}
print(
  failed.length === 0 ? `\n${count} seeds hold` : `\n${failed.length} of ${count} seeds failed: ${failed.join(", ")}`,
);
print(`digest ${all.digest("hex")}`);
process.exitCode = failed.length === 0 ? 0 : 1;

function summary({ seed, failure, steps, virtualMs, plan, digest }: SeedResult, tookMs: number): string {
  const kinds = plan.incidents.map(({ kind }) => kind);
  const incidents = [...new Set(kinds)].map((kind) => `${kinds.filter((it) => it === kind).length} ${kind}`).join(", ");
  const time = `${(virtualMs / 1_000).toFixed(0)} s in ${(tookMs / 1_000).toFixed(1)} s, ${steps} steps`;
  return `  ${failure ? "✘" : "✔"} seed ${seed}: ${time}; ${incidents || "no incidents"}; ${digest.slice(0, 12)}`;
}

function printStory({ seed, failure, story, plan }: SeedResult): void {
  const weather = Object.entries(plan.weather).filter(([, rate]) => rate > 0);
  print(
    `\n  The weather of seed ${seed}: ${weather.map(([kind, rate]) => `${kind} ${Number(rate.toFixed(3))}`).join(", ")}\n`,
  );
  for (const line of story) print(storyLine(line));
  if (failure) {
    print(`\n  ✘ ${failure.message}`);
    if (failure.name !== "Violation") print(failure.stack ?? "");
    print(`    again: npm run sim -- --from ${seed} --seeds 1\n`);
  }
}

function storyLine({ atMs, who, what }: StoryLine): string {
  return `  ${(atMs / 1_000).toFixed(3).padStart(9)}  ${who.padEnd(24)} ${what}`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
