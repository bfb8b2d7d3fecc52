/** `npm run fuzz -- --minutes N [--target T] [--seed S]`: hostile input for decoders, patches, paths and the whole handler (test/fuzz). */
import { spawnSync } from "node:child_process";

const args = ["--disable-warning=ExperimentalWarning", "test/fuzz/cli.ts", ...process.argv.slice(2)];
const { status } = spawnSync("node", args, { stdio: "inherit" });
process.exit(status ?? 1);
