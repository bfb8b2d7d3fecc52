/** `npm run test:lab`: what only whole machines show (test/lab/*.lab.test.ts), on the lab of this clone. */
import { spawnSync } from "node:child_process";

const { status } = spawnSync("vitest", ["run", "--project", "lab", ...process.argv.slice(2)], { stdio: "inherit" });
process.exit(status ?? 1);
