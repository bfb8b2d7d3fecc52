/** The lab as tests need it: machines that run, a cluster on them, and the programs to ask it with. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";
import { unpackKubectl } from "../../deploy/cluster/images-and-tools.ts";
import { thisLab } from "../../deploy/lab/lab.ts";

const execute = promisify(execFile);
const clone = join(import.meta.dirname, "../..");
const layout = thisLab();
const TOOLS = join(clone, ".cache/bin");
const BIG = 64 * 2 ** 20;

/** Boots the machines where there are none, and provisions them where no kubeconfig says that they are. */
export async function ensureProvisioned(): Promise<void> {
  if (!existsSync(join(TOOLS, "kubectl"))) await unpackKubectl(TOOLS);
  if (!existsSync(layout.sizeFile)) await run("npm", "run", "lab");
  if (!existsSync(layout.adminConf)) await provision();
}

export function provision(): Promise<Recaps> {
  return playbook("site");
}

/** Runs one of ansible/ on the lab: `{ ok, changed, unreachable, failed }` of each machine, as its recap counts them. */
export async function playbook(name: string, ...words: readonly string[]): Promise<Recaps> {
  return recapOf(await run("ansible-playbook", "-i", layout.inventory, `ansible/${name}.yml`, ...words));
}

/** The playbook over a cluster that is as it should be. */
export async function expectNothingToChange(): Promise<void> {
  const recaps = Object.entries(await provision());
  expect(recaps.length).toBeGreaterThan(0);
  for (const [machine, recap] of recaps)
    expect(recap, machine).toMatchObject({ changed: 0, unreachable: 0, failed: 0 });
}

export type Recaps = Readonly<Record<string, Recap>>;
export type Recap = Readonly<Record<"ok" | "changed" | "unreachable" | "failed", number>>;

export function recapOf(said: string): Recaps {
  const recap = said.slice(said.lastIndexOf("PLAY RECAP"));
  const rows = [...recap.matchAll(/^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)/gm)];
  return Object.fromEntries(
    rows.map(([, name, ok, changed, unreachable, failed]) => [
      name,
      { ok: Number(ok), changed: Number(changed), unreachable: Number(unreachable), failed: Number(failed) },
    ]),
  );
}

/** As the administrator; `input` goes to its standard input. */
export async function kubectl(words: readonly string[], input = ""): Promise<string> {
  const args = ["--kubeconfig", layout.adminConf, ...words];
  const running = execute(join(TOOLS, "kubectl"), args, { maxBuffer: BIG });
  running.child.stdin?.end(input);
  return (await running).stdout.trim();
}

/** Fails with all that the program said. */
export async function run(command: string, ...args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await execute(command, [...args], { cwd: clone, maxBuffer: BIG });
    return stdout;
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { readonly stdout?: string; readonly stderr?: string };
    throw new Error(`${[command, ...args].join(" ")} failed:\n${stdout.slice(-6_000)}\n${stderr.slice(-2_000)}`, {
      cause: error,
    });
  }
}
