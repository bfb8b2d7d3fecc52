/** `npm test`: lint, unit tests, a million and more cases of the fuzzer, tests with real parts and the story; stops at the first that fails. */
import { spawnSync } from "node:child_process";

const STAGES: readonly (readonly [string, ...string[]])[] = [
  ["node", "deploy/commands/lint.ts"],
  ["vitest", "run", "--project", "unit"],
  ["node", "deploy/commands/fuzz.ts", "--tests"],
  ["node", "deploy/commands/build.ts"],
  ["vitest", "run", "--project", "real"],
];

for (const [command, ...args] of STAGES) {
  process.stdout.write(`\n▸ ${[command, ...args].join(" ")}\n`);
  const { status } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) process.exit(status ?? 1);
}
