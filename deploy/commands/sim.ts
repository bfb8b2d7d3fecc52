/** `npm run sim -- --seeds N [--from S]`: the control plane on virtual time (test/sim). */
import { spawnSync } from "node:child_process";

const { status } = spawnSync(
  "node",
  ["--disable-warning=ExperimentalWarning", "test/sim/cli.ts", ...process.argv.slice(2)],
  {
    stdio: "inherit",
  },
);
process.exit(status ?? 1);
