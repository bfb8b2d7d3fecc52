/**
 * `node test/lab/observe.ts [--before S] [--after S] -- command…`: what users of the lab's cluster notice while the command runs, some
 * seconds before it, and after it. Ends as the command ends.
 */
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { requireLab, thisLab } from "../../deploy/lab/lab.ts";
import { tell } from "./observed.ts";
import { observe } from "./observer.ts";

const { values, positionals } = parseArgs({
  options: { before: { type: "string", default: "5" }, after: { type: "string", default: "15" } },
  allowPositionals: true,
});
const [command, ...args] = positionals;
const end = await observe(requireLab(thisLab()), systemClock);
await sleep(systemClock, Number(values.before) * 1_000);
const startMs = systemClock.monotonicMs();
const status = command === undefined ? 0 : await runIt(command, args);
const tookMs = systemClock.monotonicMs() - startMs;
await sleep(systemClock, Number(values.after) * 1_000);
const figures = await end();
process.stdout.write(`the command took ${(tookMs / 1_000).toFixed(1)} s and ended with ${status}\n${tell(figures)}\n`);
process.exit(status);

function runIt(program: string, words: readonly string[]): Promise<number> {
  const child = spawn(program, words, { stdio: "inherit" });
  return new Promise((resolve, reject) => child.once("error", reject).once("close", (code) => resolve(code ?? 1)));
}
