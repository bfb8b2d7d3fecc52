/** `npm run lint`: every gate, in the order of how fast it tells. */
import { spawnSync } from "node:child_process";

const GATES: readonly (readonly [string, string, ...string[]])[] = [
  ["types", "tsc", "--noEmit", "-p", "."],
  ["linter", "oxlint", "--type-aware", "--deny-warnings"],
  ["formatting", "oxfmt", "--check"],
];

for (const [name, command, ...args] of GATES) {
  const startedMs = performance.now();
  const { status } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  process.stdout.write(`  ${status === 0 ? "✔" : "✘"} ${name.padEnd(52)} ${seconds} s\n`);
  if (status !== 0) process.exit(1);
}
