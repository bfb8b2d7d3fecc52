/** `npm run sim -- --sieve [controller] [--point NAME]`: a line for each sweep; the whole story of a point that was asked for by name. */
import { scenarios } from "./scenarios.ts";
import { sweep, type PointFailure } from "./sweep.ts";

export interface Asked {
  /** Undefined: all. */
  readonly scenario: string | undefined;
  /** Undefined: all. */
  readonly point: string | undefined;
}

/** How many points failed. @throws RangeError for a scenario that there is none of */
export async function reportSweeps({ scenario, point }: Asked, print: (line: string) => void): Promise<number> {
  const wanted = scenarios.filter(({ name }) => scenario === undefined || name === scenario);
  if (wanted.length === 0)
    throw new RangeError(`no scenario ${scenario}: ${scenarios.map(({ name }) => name).join(", ")}`);
  let failed = 0;
  let tried = 0;
  for (const one of wanted) {
    const [startedMs, cpu] = [performance.now(), process.cpuUsage()];
    const swept = await sweep(one, (name) => point === undefined || name === point);
    const cpuSeconds = process.cpuUsage(cpu).user / 1e6;
    const time = `${((performance.now() - startedMs) / 1_000).toFixed(1)} s, ${cpuSeconds.toFixed(1)} s of a core`;
    const failures = swept.failures.length;
    print(
      `  ${failures === 0 ? "✔" : "✘"} ${one.name}: ${swept.tried} of ${swept.points} points, ${failures} failed; ${time}`,
    );
    for (const failure of swept.failures) printFailure(one.name, failure, point !== undefined, print);
    failed += failures;
    tried += swept.tried;
  }
  print(failed === 0 ? `\n${tried} points hold` : `\n${failed} of ${tried} points failed`);
  return failed;
}

function printFailure(
  scenario: string,
  { point, error, story }: PointFailure,
  isWhole: boolean,
  print: (line: string) => void,
): void {
  if (isWhole)
    for (const { atMs, who, what } of story)
      print(`  ${(atMs / 1_000).toFixed(3).padStart(9)}  ${who.padEnd(24)} ${what}`);
  print(`\n  ✘ ${scenario} ${point}: ${error.message}`);
  if (error.name !== "Violation") print(error.stack ?? "");
  print(`    again: npm run sim -- --sieve ${scenario} --point ${point}\n`);
}
