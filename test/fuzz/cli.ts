/** `npm run fuzz -- --minutes N [--target T] [--seed S] [--case I]`, or `--tests`: a line for each target, and each failure with what repeats it. */
import { parseArgs } from "node:util";
import { failureOf, inputOf } from "./judge.ts";
import { run, type Failure, type TargetResult } from "./run.ts";
import type { Target } from "./target.ts";
import { targetNamed, targets } from "./targets/index.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "2" },
    /** The cases that `npm test` tries, however long they take. */
    tests: { type: "boolean", default: false },
    /** One of them; all by default. */
    target: { type: "string" },
    seed: { type: "string", default: "1" },
    /** Repeats this one case. */
    case: { type: "string" },
  },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  process.stderr.write("usage: npm run fuzz -- --minutes N [--target T] [--seed S] [--case I]\n");
  process.exit(2);
}
if (values.target !== undefined && values.case !== undefined)
  await repeat(values.target, values.seed, Number(values.case));
else await fuzz();

async function fuzz(): Promise<void> {
  const chosen = values.target === undefined ? targets : [targetNamed(values.target)];
  const limit = values.tests
    ? { totalMs: Infinity, casesOf: ({ casesInTests }: Target) => casesInTests }
    : { totalMs: minutes * 60_000, casesOf: () => Infinity };
  const results = await run({ targets: chosen, seed: values.seed, from: 0, ...limit }, tell);
  const failures = results.flatMap((result) => result.failures);
  print(failures.length === 0 ? "\nevery property holds" : `\n${failures.length} failures`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

async function repeat(name: string, seed: string, index: number): Promise<void> {
  const target = targetNamed(name);
  const input = inputOf(target, seed, index);
  const failure = await failureOf(target, input);
  print(JSON.stringify(input, undefined, 2));
  print(failure ?? "the property holds");
  process.exitCode = failure === undefined ? 0 : 1;
}

function tell({ target, cases, seconds, failures }: TargetResult): void {
  const rate = `${Math.round(cases / seconds)} cases/s`.padStart(14);
  print(`  ${failures.length === 0 ? "✔" : "✘"} ${target.padEnd(18)} ${String(cases).padStart(9)} cases ${rate}`);
  failures.forEach(tellFailure);
}

function tellFailure({ target, seed, index, failure, input }: Failure): void {
  const lines = failure.split("\n").slice(0, 6);
  print(`\n    ${lines.join("\n    ")}`);
  print(`    again: npm run fuzz -- --target ${target} --seed ${seed} --case ${index}`);
  print(`    to keep, as test/fuzz/regressions/<name>.json: ${JSON.stringify({ target, input })}\n`);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
