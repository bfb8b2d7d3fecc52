/** The key of Secrets is replaced while users work: every Secret is read as before, and none lies in etcd by the old key. */
import { beforeAll, expect, test } from "vitest";
import { systemClock } from "@pilothouse/clock/system";
import { findMachine, requireLab, thisLab } from "../../deploy/lab/lab.ts";
import { answerOf } from "../soak/machines/ssh.ts";
import { tell } from "./observed.ts";
import { observe } from "./observer.ts";
import { ensureProvisioned, expectNothingToChange, kubectl, playbook } from "./provisioned.ts";

const PATIENCE_MS = 1_800_000;
const SECRET = "under-a-new-key";

beforeAll(ensureProvisioned, PATIENCE_MS);

test("the key of Secrets is replaced under users who notice nothing", { timeout: PATIENCE_MS }, async () => {
  const lab = requireLab(thisLab());
  await kubectl(["delete", "secret", SECRET, "--ignore-not-found"]);
  await kubectl(["create", "secret", "generic", SECRET, "--from-literal=word=rudder"]);
  const before = await keys();
  const started = await startsOfApiservers();
  const end = await observe(lab, systemClock);
  await playbook("encryption-keys");
  const figures = await end();
  process.stdout.write(`${tell(figures)}\n`);
  expect(figures.writes).toMatchObject({ lost: 0, backwards: 0 });
  expect(figures.writes.longestGapMs).toBeLessThan(4_000);
  expect(figures.containers.ended).toBe(0);
  const after = await keys();
  expect([before.length, after.length]).toEqual([1, 1]);
  expect(after).not.toEqual(before);
  for (const { address } of lab.machines.filter(({ role }) => role === "master")) {
    const words = ["--server", `https://${address}:6443`, "get", "secret", SECRET, "-o", "jsonpath={.data.word}"];
    expect(Buffer.from(await kubectl(words), "base64").toString()).toBe("rudder");
  }
  expect(await startsOfApiservers()).toEqual(started);
  await kubectl(["delete", "secret", SECRET]);
  await expectNothingToChange();
});

/** Those by which Secrets lie in etcd. */
async function keys(): Promise<readonly string[]> {
  const lab = requireLab(thisLab());
  const told = await answerOf(lab.layout, findMachine(lab, "master-1"), "pilothouse-machine secrets-at-rest");
  return told
    .trim()
    .split("\n")
    .map((line) => line.split(":")[0] ?? "");
}

async function startsOfApiservers(): Promise<readonly string[]> {
  const { layout, machines } = requireLab(thisLab());
  const masters = machines.filter(({ role }) => role === "master");
  const script = "systemctl show --property=ExecMainStartTimestampMonotonic --value pilothouse-apiserver";
  return Promise.all(masters.map((machine) => answerOf(layout, machine, script)));
}
