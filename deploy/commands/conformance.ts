/** `npm run conformance [-- words…]`: what upstream's conformance suite asks for, name by name (test/conformance). */
import { spawnSync } from "node:child_process";

const args = ["--disable-warning=ExperimentalWarning", "test/conformance/cli.ts", ...process.argv.slice(2)];
const { status } = spawnSync("node", args, { stdio: "inherit" });
process.exit(status ?? 1);
