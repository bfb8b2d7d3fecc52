/** Back to a backup, and on with one master of three: what is gone, what goes on, and that no revision runs backwards. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { systemClock } from "@pilothouse/clock/system";
import { FAULTS } from "../../deploy/lab/faults.ts";
import { findMachine, requireLab, thisLab } from "../../deploy/lab/lab.ts";
import { until } from "../harness/index.ts";
import { observe } from "./observer.ts";
import { ensureProvisioned, expectNothingToChange, kubectl, playbook } from "./provisioned.ts";

const PATIENCE_MS = 1_800_000;
const RAISED = 1_000_000_000;

beforeAll(ensureProvisioned, PATIENCE_MS);

test("a restore forgets what came after the backup, and no more", { timeout: PATIENCE_MS }, async () => {
  const lab = requireLab(thisLab());
  // Its workload stays: the backup knows of it.
  await (
    await observe(lab, systemClock)
  )();
  await kubectl(["rollout", "status", "-n", "observed", "deployment/web", "--timeout=90s"]);
  await playbook("backup");
  const backup = readdirSync(join(lab.layout.root, "backups")).sort().at(-1) ?? "";
  await kubectl(["create", "configmap", "after-the-backup"]);
  for (const time of [1, 2]) {
    const before = await revision();
    const end = await observe(lab, systemClock);
    await playbook("restore", "-e", `backup=backups/${backup}`, "-e", "sure=yes");
    expect(await kubectl(["get", "configmaps", "-o", "name"])).not.toContain("after-the-backup");
    const { writes, containers } = await end();
    expect(writes.backwards, `restore ${time}`).toBe(0);
    expect(containers.ended, `restore ${time}`).toBe(0);
    expect((await revision()) - before).toBeGreaterThan(RAISED / 2);
  }
});

test(
  "two masters are lost for good: the third goes on alone, and new ones join it",
  { timeout: PATIENCE_MS },
  async () => {
    const lab = requireLab(thisLab());
    const before = await revision();
    const end = await observe(lab, systemClock);
    for (const name of ["master-2", "master-3"])
      await FAULTS.find((row) => row.name === "lose-disk")?.apply(lab, findMachine(lab, name), {});
    await playbook("recover-quorum", "-e", "survivor=master-1", "-e", "sure=yes");
    const { writes, containers } = await end();
    expect(writes).toMatchObject({ backwards: 0, lost: 0 });
    expect(containers.ended).toBe(0);
    expect((await revision()) - before).toBeGreaterThan(RAISED / 2);
    await expectNothingToChange();
  },
);

/** Of a list, once somebody answers. */
async function revision(): Promise<number> {
  let told = 0;
  await until(
    "the API answers",
    async () => {
      const path = "/api/v1/namespaces/default/configmaps?limit=1";
      const list = await kubectl(["get", "--raw", path]).catch(() => "");
      told = Number(/"resourceVersion":"(\d+)"/.exec(list)?.[1] ?? 0);
      return told > 0;
    },
    60_000,
  );
  return told;
}
