/** The playbooks as far as they can be tried without machines; with machines: test/lab. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const clone = join(import.meta.dirname, "../..");
const folder = join(clone, "ansible");
/** Ansible starts a Python for each playbook: some seconds here, minutes where the machine is busy. */
const PATIENCE_MS = 600_000;

function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: clone, encoding: "utf8" });
  if (error) throw error;
  return status === 0 ? "" : `${command} ended with ${status}:\n${stdout}\n${stderr}`;
}

test("ansible-lint finds nothing, at its production profile", { timeout: PATIENCE_MS }, () => {
  expect(run("ansible-lint", "--nocolor")).toBe("");
});

test("every playbook is one that ansible-core can read", { timeout: PATIENCE_MS }, () => {
  const playbooks = readdirSync(folder).filter((name) => name.endsWith(".yml") && name !== "defaults.yml");
  expect(playbooks.length).toBeGreaterThan(10);
  for (const name of playbooks)
    expect(run("ansible-playbook", "-i", "localhost,", "--syntax-check", join(folder, name))).toBe("");
});

test("what they decide in Python, and the module that writes files", () => {
  // Debian's Python: Ansible is installed for that one.
  expect(run("/usr/bin/python3", "-m", "unittest", "discover", "ansible/tests")).toBe("");
});

test("the command of a machine is a script that bash can read", () => {
  expect(run("bash", "-n", join(folder, "roles/machine/files/pilothouse-machine"))).toBe("");
});
