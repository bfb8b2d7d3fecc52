/** `npm run bench [-- names…] [--json]`: figures beside the floor of the same run (test/bench). */
import { spawnSync } from "node:child_process";

const args = ["--disable-warning=ExperimentalWarning", "test/bench/cli.ts", ...process.argv.slice(2)];
const { status } = spawnSync("node", args, { stdio: "inherit" });
process.exit(status ?? 1);
