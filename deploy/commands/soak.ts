/** `npm run soak -- --minutes N [--fault-every S] [--seed X]`: a workload, faults and checkers on a provisioned lab (test/soak). */
import { spawnSync } from "node:child_process";

const args = ["--disable-warning=ExperimentalWarning", "test/soak/cli.ts", ...process.argv.slice(2)];
const { status } = spawnSync("node", args, { stdio: "inherit" });
process.exit(status ?? 1);
