/**
 * A process that runs seeds, one after the other, as its parent (shards.ts) asks. Started with the name of a mutant, it
 * plants that first: before any module of the product is loaded.
 */
import { mutants, plant } from "./mutants.ts";
import type { SeedReport } from "./shards.ts";

const [, , mutantName] = process.argv;
const mutant = mutants.find(({ name }) => name === mutantName);
if (mutantName !== undefined && !mutant) throw new Error(`there is no mutant ${JSON.stringify(mutantName)}`);
const planted = mutant && plant(mutant);
const { runSeed } = await import("./seeds.ts");
planted?.judge();

process.on("message", (seed: number) => void run(seed));
process.on("disconnect", () => process.exit(0));
process.send?.("ready");

async function run(seed: number): Promise<void> {
  const before = process.cpuUsage();
  const { failure, ...result } = await runSeed(seed);
  const { user, system } = process.cpuUsage(before);
  const told = failure && { name: failure.name, message: failure.message, stack: failure.stack ?? "" };
  const report: SeedReport = { ...result, failure: told, cpuMs: (user + system) / 1_000 };
  process.send?.(report);
}
