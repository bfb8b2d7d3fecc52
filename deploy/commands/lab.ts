/**
 * `npm run lab -- --masters 3 --workers 2`: bare Debian machines on this one, for Ansible to make a cluster of. A second run starts
 * what is off and adds what is missing; a run that was killed half-way is completed by the next.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { parseArgs } from "node:util";
import { ExplainedError } from "../cluster/errors.ts";
import { runCommand, step } from "../cluster/steps.ts";
import { baseDirectory, ensureBase } from "../lab/base.ts";
import { inventoryText } from "../lab/inventory.ts";
import { countOf, thisLab, writeLab } from "../lab/lab.ts";
import { powerOn, prepareMachine, waitForSsh } from "../lab/machine.ts";
import { ensureNetwork } from "../lab/network.ts";
import { run } from "../lab/shell.ts";

const BOOT_LIMIT_MS = 60_000;

const { values: flags } = parseArgs({
  options: { masters: { type: "string", default: "3" }, workers: { type: "string", default: "2" } },
});
const layout = thisLab();

await runCommand(async () => {
  const size = { masters: countOf(flags.masters, "masters"), workers: countOf(flags.workers, "workers") };
  await step("Make the machines' base (once; kept in .cache)", "PH-203", () => ensureBase(layout.clone));
  const { machines } = writeLab(layout, size);
  await step("Make the lab's network", "PH-203", () => ensureNetwork(layout));
  const publicKey = await sshKey();
  await step(`Prepare ${machines.length} disks`, "PH-203", async () => {
    for (const machine of machines) await prepareMachine(machine, baseDirectory(layout.clone), publicKey);
  });
  await step("Boot the machines", "PH-203", async () => {
    await Promise.all(machines.map((machine) => powerOn(layout, machine)));
    const answers = await Promise.all(machines.map((machine) => waitForSsh(machine, BOOT_LIMIT_MS)));
    const silent = machines
      .filter((_, i) => !answers[i])
      .map(({ name, console }) => `${name} (its console: ${console})`);
    if (silent.length > 0)
      throw new ExplainedError("PH-203", `No ssh within ${BOOT_LIMIT_MS / 1_000} s: ${silent.join(", ")}.`);
  });
  writeFileSync(layout.inventory, inventoryText(layout, machines));
  const inventory = relative(process.cwd(), layout.inventory);
  process.stdout.write(`
  ${machines.map(({ name, address }) => `${name} ${address}`).join("\n  ")}

  Next:  ansible-playbook -i ${inventory} ansible/site.yml
  then:  kubectl --kubeconfig ${relative(process.cwd(), layout.adminConf)} get nodes
`);
});

async function sshKey(): Promise<string> {
  if (!existsSync(layout.sshKey)) await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", layout.sshKey);
  return readFileSync(`${layout.sshKey}.pub`, "utf8");
}
