/** Machines go and come back while users work: what the playbooks promise of it, seen from the outside. */
import { beforeAll, expect, test } from "vitest";
import { systemClock } from "@pilothouse/clock/system";
import { FAULTS } from "../../deploy/lab/faults.ts";
import { findMachine, requireLab, thisLab } from "../../deploy/lab/lab.ts";
import { answerOf } from "../soak/machines/ssh.ts";
import type { Figures } from "./observed.ts";
import { observe } from "./observer.ts";
import { ensureProvisioned, expectNothingToChange, kubectl, playbook } from "./provisioned.ts";

const PATIENCE_MS = 1_800_000;
const WORKER = "worker-2";

beforeAll(ensureProvisioned, PATIENCE_MS);

test(
  "a worker is taken out with nothing of the cluster left on it, and added again",
  { timeout: PATIENCE_MS },
  async () => {
    const figures = await observed(async () => {
      await playbook("remove", "-e", `machine=${WORKER}`, "-e", "sure=yes");
      expect(await kubectl(["get", "nodes", "-o", "name"])).not.toContain(WORKER);
      expect(await leftOn(WORKER)).toBe("");
      await playbook("scale");
    });
    expect(figures.writes).toMatchObject({ lost: 0, backwards: 0 });
    await kubectl(["wait", "--for=condition=Ready", `node/${WORKER}`, "--timeout=60s"]);
    await expectNothingToChange();
  },
);

test("the first master loses its disk and is replaced; no container ends", { timeout: PATIENCE_MS }, async () => {
  const lab = requireLab(thisLab());
  const figures = await observed(async () => {
    await FAULTS.find(({ name }) => name === "lose-disk")?.apply(lab, findMachine(lab, "master-1"), {});
    await playbook("replace", "-e", "machine=master-1");
  });
  expect(figures.writes).toMatchObject({ lost: 0, backwards: 0 });
  expect(figures.containers.ended).toBe(0);
  await expectNothingToChange();
});

async function observed(work: () => Promise<void>): Promise<Figures> {
  const end = await observe(requireLab(thisLab()), systemClock);
  await work();
  return end();
}

/** Files, accounts, rules, routes and processes that name us. */
function leftOn(name: string): Promise<string> {
  const lab = requireLab(thisLab());
  const script = `
    ls -d /etc/pilothouse /opt/pilothouse /var/lib/pilothouse /run/pilothouse /etc/systemd/system/pilothouse* 2>/dev/null
    grep pilothouse /etc/passwd /proc/self/mounts
    nft list tables | grep pilothouse
    ip -4 route | grep '^198[.]1[89][.]'
    find /sys/fs/cgroup -name 'pilothouse*'
    ps -eo args | grep '[/]opt/pilothouse'
    true`;
  return answerOf(lab.layout, findMachine(lab, name), script).then((text) => text.trim());
}
