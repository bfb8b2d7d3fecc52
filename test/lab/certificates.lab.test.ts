/** New authorities while users work: nobody fails, and what the old ones signed is worth nothing afterwards. */
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { systemClock } from "@pilothouse/clock/system";
import { requireLab, thisLab } from "../../deploy/lab/lab.ts";
import { observe } from "./observer.ts";
import { ensureProvisioned, expectNothingToChange, kubectl, playbook } from "./provisioned.ts";

const PATIENCE_MS = 1_800_000;

beforeAll(ensureProvisioned, PATIENCE_MS);

test("the authorities are replaced under a writer that never fails", { timeout: PATIENCE_MS }, async () => {
  const lab = requireLab(thisLab());
  const old = join(lab.layout.root, "old.conf");
  copyFileSync(lab.layout.adminConf, old);
  const end = await observe(lab, systemClock);
  await playbook("certificates", "-e", "new_authorities=yes");
  const { writes, containers } = await end();
  expect(writes).toMatchObject({ failed: 0, lost: 0, backwards: 0 });
  expect(containers.ended).toBe(0);
  await expect(kubectl(["--kubeconfig", old, "get", "nodes"])).rejects.toThrow(
    /certificate signed by unknown authority/,
  );
  rmSync(old);
  await expectNothingToChange();
});
