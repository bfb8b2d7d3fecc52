/**
 * `npm run sim -- --seeds N [--from S]`: runs seeds on all cores, tells of each, and the whole story of each that fails.
 * What stopped halfway goes on with `--from` the first seed that is missing.
 * `npm run sim -- --sieve [CONTROLLER] [--point NAME]`: sweeps the scenarios of single controllers.
 */
import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { Coverage } from "./coverage.ts";
import { runSeeds, type SeedReport } from "./shards.ts";
import { reportSweeps } from "./sieve/report.ts";
import { RUNTIME, type StoryLine } from "./world.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: "string", default: "20" },
    from: { type: "string", default: "1" },
    /** Prints the story also of seeds that pass. */
    story: { type: "boolean", default: false },
    /** Takes a rule away (mutants.ts); stops at the first seed that notices. */
    mutant: { type: "string" },
    /** Prints how often each fault came true, and under how many seeds. */
    coverage: { type: "boolean", default: false },
    /** Sweeps the controller that is named, or all of them, instead of running seeds (sieve/). */
    sieve: { type: "boolean", default: false },
    /** Only this point of the sweep, with its whole story if it fails. */
    point: { type: "string" },
  },
});
if (values.sieve)
  process.exit(Math.min(1, await reportSweeps({ scenario: positionals[0], point: values.point }, print)));

const from = Number(values.from);
const count = Number(values.seeds);
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count) || count < 1) {
  process.stderr.write(
    "usage: npm run sim -- --seeds N [--from S] [--story] [--coverage] [--mutant NAME] | --sieve [CONTROLLER] [--point NAME]\n",
  );
  process.exit(2);
}

const all = createHash("sha256");
const failed: number[] = [];
const startedMs = performance.now();
let cpuMs = 0;
const coverage = new Coverage();
const seeds = Array.from({ length: count }, (_, i) => from + i);
for await (const report of runSeeds({ seeds, mutant: values.mutant })) {
  all.update(`${report.seed} ${report.digest}\n`);
  cpuMs += report.cpuMs;
  coverage.add(report.counts);
  if (report.failure) failed.push(report.seed);
  print(summary(report));
  if (report.failure || values.story) printStory(report);
  if (report.failure && values.mutant !== undefined) break;
}
print(
  failed.length === 0 ? `\n${count} seeds hold` : `\n${failed.length} of ${count} seeds failed: ${failed.join(", ")}`,
);
if (values.coverage) print(`\n${coverage.text()}\n`);
const tookSeconds = (performance.now() - startedMs) / 1_000;
print(`${tookSeconds.toFixed(0)} s, ${(cpuMs / 1_000).toFixed(0)} s of the cores`);
print(`digest ${all.digest("hex")} on ${RUNTIME}`);
process.exitCode = failed.length === 0 ? 0 : 1;

function summary({ seed, failure, steps, virtualMs, plan, digest, cpuMs: tookMs }: SeedReport): string {
  const kinds = plan.incidents.map(({ kind }) => kind);
  const incidents = [...new Set(kinds)].map((kind) => `${kinds.filter((it) => it === kind).length} ${kind}`).join(", ");
  const time = `${(virtualMs / 1_000).toFixed(0)} s in ${(tookMs / 1_000).toFixed(1)} s, ${steps} steps`;
  return `  ${failure ? "✘" : "✔"} seed ${seed}: ${time}; ${incidents || "no incidents"}; ${digest.slice(0, 12)}`;
}

function printStory({ seed, failure, story, plan }: SeedReport): void {
  const weather = Object.entries(plan.weather).filter(([, rate]) => rate > 0);
  print(
    `\n  The weather of seed ${seed}: ${weather.map(([kind, rate]) => `${kind} ${Number(rate.toFixed(3))}`).join(", ")}\n`,
  );
  for (const line of story) print(storyLine(line));
  if (failure) {
    print(`\n  ✘ ${failure.message}`);
    if (failure.name !== "Violation") print(failure.stack);
    print(`    again: npm run sim -- --from ${seed} --seeds 1\n`);
  }
}

function storyLine({ atMs, who, what }: StoryLine): string {
  return `  ${(atMs / 1_000).toFixed(3).padStart(9)}  ${who.padEnd(24)} ${what}`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
