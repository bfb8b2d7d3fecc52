/** New authorities while users work: nobody fails, and what the old ones signed is worth nothing afterwards. */
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { requireLab, thisLab } from "../../deploy/lab/lab.ts";
import { until } from "../harness/index.ts";
import { answerOf } from "../soak/machines/ssh.ts";
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

test(
  "a machine that is to look for due certificates more often does so from then on",
  { timeout: PATIENCE_MS },
  async () => {
    const { layout, machines } = requireLab(thisLab());
    const nextLooks = async (): Promise<readonly number[]> => {
      const script =
        "systemctl show --property=NextElapseUSecMonotonic --value pilothouse-certificates.timer; cut -d. -f1 /proc/uptime";
      const told = await Promise.all(machines.map((machine) => answerOf(layout, machine, script)));
      return told.map((text) => secondsOf(text.split("\n")[0] ?? "") - Number(text.split("\n")[1]));
    };
    await playbook("certificates", "-e", "pilothouse_certificate_check=90s");
    for (const seconds of await nextLooks()) expect(seconds).toBeLessThan(7 * 60);
    await playbook("certificates");
    await expectNothingToChange();
  },
);

test(
  "by certificates of ten minutes everybody lives on: machines renew them, and who serves shows the new ones",
  { timeout: PATIENCE_MS },
  async () => {
    const { layout, machines } = requireLab(thisLab());
    const ports = { master: [2379, 6443, 10_250], worker: [10_250] };
    const doors = machines.flatMap(({ address, role }) => ports[role].map((port) => ({ address, port })));
    const ends = (): Promise<readonly number[]> => Promise.all(doors.map(endOfServed));
    // The administrator's own is to outlive them.
    const year = join(layout.root, "year.conf");
    copyFileSync(layout.adminConf, year);
    const short = ["-e", "pilothouse_certificate_minutes=10", "-e", "pilothouse_certificate_check=30s"];
    await playbook("certificates", ...short);
    const before = await ends();
    expect(Math.max(...before)).toBeLessThan(systemClock.now() + 11 * 60_000);
    await until(
      "all who serve show another certificate",
      async () => (await ends()).every((end, i) => end > (before[i] ?? Infinity)),
      9 * 60_000,
      5_000,
    );
    // Past the end of what the playbook made: whoever still held to it would fail from here on.
    await sleep(systemClock, Math.max(0, Math.max(...before) + 5_000 - systemClock.now()));
    await kubectl(["--kubeconfig", year, "get", "nodes"]);
    for (const machine of machines) await answerOf(layout, machine, "pilothouse-machine health --wait 30");
    rmSync(year);
    await playbook("certificates");
    await expectNothingToChange();
  },
);

/** When the certificate ends that is shown there, in milliseconds since the epoch; 0: none is. */
function endOfServed({ address, port }: { readonly address: string; readonly port: number }): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, rejectUnauthorized: false });
    const settle = (end: number): void => {
      socket.destroy();
      resolve(end);
    };
    socket.once("secureConnect", () => settle(Date.parse(socket.getPeerCertificate().valid_to)));
    socket.once("error", () => settle(0));
    socket.setTimeout(5_000, () => settle(0));
  });
}

/** `1h 2min 3.4s`, as systemd tells spans of time. */
function secondsOf(span: string): number {
  const units: Readonly<Record<string, number>> = { d: 86_400, h: 3_600, min: 60, s: 1, ms: 0.001, us: 0 };
  return [...span.matchAll(/([\d.]+)(d|h|min|ms|us|s)\b/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ""] ?? NaN),
    0,
  );
}
