import { execFileSync } from "node:child_process";
import { X509Certificate, createPrivateKey } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCertificateRequest, createPrivateKey as newKey } from "@pilothouse/pki";
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { bringAuthorities } from "./authorities.ts";
import type { Goal } from "./authority-plan.ts";
import type { IdentityPlan, MachinePlan } from "./certificate-plan.ts";
import {
  certificateStatus,
  installCertificates,
  renewCertificates,
  requestCertificates,
  signCertificates,
  type MachinePorts,
} from "./machine-certificates.ts";

const DAY_MS = 86_400_000;
// In memory where that can be: every step waits for the disk, which may be busy.
const root = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "ph-machine-"));
afterAll(() => rmSync(root, { recursive: true }));

const IDENTITIES: readonly IdentityPlan[] = [
  {
    name: "kubelet-server",
    authority: "cluster-ca",
    commonName: "system:node:worker-1",
    organizations: ["system:nodes"],
    dnsNames: ["worker-1"],
    ipAddresses: ["198.51.100.7", "2001:db8::7"],
    usages: ["server"],
  },
  {
    name: "bus-client",
    authority: "backbone-ca",
    commonName: "pilothouse",
    usages: ["client"],
    onRenew: ["reload", "x"],
  },
];

class Interrupted extends Error {
  override readonly message = "interrupted here";
}

/** A machine in a folder of its own, with the authorities at hand; time stands until `nowMs` is set. */
async function machine(change: Partial<MachinePlan> = {}) {
  const home = mkdtempSync(join(root, "m-"));
  const authorities = join(home, "authorities");
  const plan: MachinePlan = {
    directory: join(home, "pki"),
    clusterCaBundle: join(home, "cluster-ca.crt"),
    backboneCaBundle: join(home, "backbone-ca.crt"),
    authorities,
    lifetimeDays: 90,
    identities: IDENTITIES,
    ...change,
  };
  const it = {
    plan,
    nowMs: Date.UTC(2026, 0, 1),
    stepsLeft: Infinity,
    told: [] as string[],
    refuseToBeTold: false,
    path: (identity: string, file: string) => join(plan.directory, identity, file),
    async authority(goal: Goal) {
      const report = await bringAuthorities(authorities, goal, { nowMs: it.nowMs, beforeStep: step });
      writeFileSync(plan.clusterCaBundle, report.bundles["cluster-ca"]);
      writeFileSync(plan.backboneCaBundle, report.bundles["backbone-ca"]);
      return report;
    },
    certificate: (identity: string) => new X509Certificate(readFileSync(it.path(identity, "tls.crt"))),
    matches: (identity: string) =>
      it.certificate(identity).checkPrivateKey(createPrivateKey(readFileSync(it.path(identity, "tls.key")))),
    states: () => certificateStatus(plan, it.nowMs).map(({ state }) => state),
  };
  const step = (): void => {
    if (it.stepsLeft-- <= 0) throw new Interrupted();
  };
  const ports: MachinePorts = {
    now: () => it.nowMs,
    say: () => undefined,
    hands: {
      chown: () => false,
      run(argv) {
        if (it.refuseToBeTold) throw new Error("ended with 1");
        it.told.push(argv.join(" "));
      },
      beforeStep: step,
    },
  };
  mkdirSync(authorities, { mode: 0o700 });
  writeFileSync(join(authorities, "service-account.key"), "slow to make, and not looked at here");
  await it.authority("exist");
  return Object.assign(it, {
    ports,
    renew: () => renewCertificates(plan, ports, () => Promise.reject(new Error("the authorities are here"))),
  });
}

test("a strict umask keeps nobody from its certificate: its owner gets there, and where it could not, it can again", async () => {
  const m = await machine();
  const before = process.umask(0o077);
  try {
    await m.renew();
    const modes = (): string[] =>
      ["", ".current/", "tls.crt", "tls.key"].map((file) =>
        (statSync(m.path("bus-client", file)).mode & 0o777).toString(8),
      );
    expect(modes()).toEqual(["755", "755", "644", "600"]);
    chmodSync(m.path("bus-client", ".current/"), 0o700);
    expect(await m.renew()).toEqual([]);
    expect(modes()).toEqual(["755", "755", "644", "600"]);
  } finally {
    process.umask(before);
  }
});

test("missing, issued, due, renewed, expired, rotated: the life of a machine's certificates", async () => {
  const m = await machine();
  expect(m.states()).toEqual(["missing", "missing"]);
  expect(await m.renew()).toEqual(["kubelet-server", "bus-client"]);
  expect(m.states()).toEqual(["ok", "ok"]);
  expect(m.told).toEqual(["reload x"]);

  const first = m.certificate("kubelet-server");
  expect(first.subject).toBe("O=system:nodes\nCN=system:node:worker-1");
  expect(first.checkIP("2001:db8::7")).toBe("2001:db8::7");
  expect(first.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
  expect(first.validFromDate.getTime()).toBe(m.nowMs - 5 * 60_000);
  expect(first.validToDate.getTime()).toBe(m.nowMs + 90 * DAY_MS);
  expect((statSync(m.path("kubelet-server", "tls.key")).mode & 0o777).toString(8)).toBe("600");
  expect(existsSync(m.path("kubelet-server", "tls.key.new"))).toBe(false);

  expect(await m.renew()).toEqual([]);
  m.nowMs += 61 * DAY_MS;
  expect(m.states()).toEqual(["past two thirds of its life", "past two thirds of its life"]);
  expect(await m.renew()).toEqual(["kubelet-server", "bus-client"]);
  expect(m.certificate("kubelet-server").serialNumber).not.toBe(first.serialNumber);
  expect(m.certificate("kubelet-server").publicKey.equals(first.publicKey)).toBe(false);

  m.nowMs += 400 * DAY_MS;
  expect(certificateStatus(m.plan, m.nowMs).map(({ isUsable }) => isUsable)).toEqual([false, false]);
  expect(await m.renew()).toEqual(["kubelet-server", "bus-client"]);

  // Each phase: what was in use before is trusted after.
  const trusted = (): boolean =>
    openssl("verify", "-no_check_time", "-CAfile", m.plan.clusterCaBundle, m.path("kubelet-server", "tls.crt"));
  expect((await m.authority("rotate")).phases["cluster-ca"]).toBe("next");
  expect(await m.renew()).toEqual([]);
  expect(trusted()).toBe(true);
  await m.authority("promote");
  expect(m.states()).toEqual(["another authority signed it", "another authority signed it"]);
  expect(trusted()).toBe(true);
  expect(await m.renew()).toEqual(["kubelet-server", "bus-client"]);
  expect(trusted()).toBe(true);
  const { bundles, files } = await m.authority("retire");
  expect(bundles["cluster-ca"].match(/BEGIN/g)).toHaveLength(1);
  expect(files.filter((file) => /next|previous/.test(file))).toEqual([]);
  expect(trusted()).toBe(true);
  expect(await m.renew()).toEqual([]);
  expect(readdirSync(join(m.plan.directory, "bus-client")).filter((file) => file.startsWith(".pair-"))).toHaveLength(2);
});

test("a worker asks, a master signs by its own plan, and the worker installs what is its own alone", async () => {
  const [master, worker] = [await machine(), await machine()];
  for (const bundle of ["clusterCaBundle", "backboneCaBundle"] as const)
    writeFileSync(worker.plan[bundle], readFileSync(master.plan[bundle]));
  const requests = await requestCertificates(worker.plan, { all: false }, worker.ports);
  expect(await requestCertificates(worker.plan, { all: false }, worker.ports)).toHaveLength(2);
  const sign = (asked = requests, identities = IDENTITIES) =>
    signCertificates(master.plan.authorities as string, asked, { identities, lifetimeMinutes: 30 }, master.ports);

  const [mine, bus] = requests as [(typeof requests)[0], (typeof requests)[0]];
  const liar = await createCertificateRequest(await newKey(), {
    commonName: "system:admin",
    organizations: ["system:masters"],
    usages: ["client"],
  });
  const [forged] = await sign([{ ...mine, csrPem: liar }]);
  expect(new X509Certificate(forged?.certificatePem as string).subject).toBe("O=system:nodes\nCN=system:node:worker-1");
  expect(() => installCertificates(worker.plan, [forged as never], worker.ports)).toThrow("a key that is not here");
  const body = Buffer.from(mine.csrPem.split("-----")[2] as string, "base64");
  body[body.length - 1] = (body[body.length - 1] as number) ^ 1;
  const broken = `-----BEGIN CERTIFICATE REQUEST-----\n${body.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
  await expect(sign([bus, { ...mine, csrPem: broken }])).rejects.toThrow(
    "kubelet-server: the request cannot be signed",
  );
  await expect(sign([{ ...mine, identity: "another" }])).rejects.toThrow("is in no plan");

  const otherNames = IDENTITIES.map((identity) => ({ ...identity, commonName: "another" }));
  expect(() =>
    installCertificates(worker.plan, [{ identity: "bus-client", certificatePem: "x" }], worker.ports),
  ).toThrow();
  const wrong = await sign(requests, otherNames);
  expect(() => installCertificates(worker.plan, wrong, worker.ports)).toThrow("something else than the plan");
  expect(worker.states()).toEqual(["missing", "missing"]);

  const signed = await sign();
  expect(installCertificates(worker.plan, signed, worker.ports)).toEqual(["kubelet-server", "bus-client"]);
  expect(installCertificates(worker.plan, signed, worker.ports)).toEqual([]);
  expect(worker.states()).toEqual(["ok", "ok"]);
  expect(worker.told).toEqual(["reload x"]);
  worker.nowMs += 30 * 60_000;
  expect(worker.states()).toEqual(["expired", "expired"]);
  // The key never left: no file of the master's holds it, no request did.
  expect(JSON.stringify([requests, signed])).not.toContain("PRIVATE");
});

test("an onRenew that failed is run again by the next renewal, though nothing is due then", async () => {
  const m = await machine();
  m.refuseToBeTold = true;
  await expect(m.renew()).rejects.toThrow("bus-client: ended with 1");
  expect(m.states()).toEqual(["ok", "ok"]);
  m.refuseToBeTold = false;
  expect(await m.renew()).toEqual([]);
  expect(m.told).toEqual(["reload x"]);
  await m.renew();
  expect(m.told).toHaveLength(1);
});

test("wherever it is interrupted, a pair that was there stays whole, and the next run that is not interrupted ends well", async () => {
  const commands = fc.array(
    fc.record({
      what: fc.constantFrom("renew", "request", "rotate", "promote", "retire"),
      steps: fc.nat({ max: 12 }),
      days: fc.constantFrom(0, 40, 100),
    }),
    { minLength: 1, maxLength: 6 },
  );
  await fc.assert(
    fc.asyncProperty(commands, async (story) => {
      const m = await machine();
      for (const { what, steps, days } of story) {
        m.nowMs += days * DAY_MS;
        m.stepsLeft = steps;
        try {
          if (what === "renew") await m.renew();
          else if (what === "request") await requestCertificates(m.plan, { all: true }, m.ports);
          else await m.authority(what);
        } catch (error) {
          // Interrupted, refused for the phase, or for an authority that is half promoted; nothing else may go wrong.
          const refusals = /interrupted here|rotate first|promote it first|is not by the first|is not the key of/;
          expect(String(error)).toMatch(refusals);
        }
        for (const { name } of IDENTITIES) if (existsSync(m.path(name, "tls.crt"))) expect(m.matches(name)).toBe(true);
      }
      m.stepsLeft = Infinity;
      for (const goal of ["exist", "rotate", "promote", "retire"] as const) {
        await m.authority(goal);
        await m.renew();
        expect(m.states()).toEqual(["ok", "ok"]);
      }
      expect(await m.renew()).toEqual([]);
      expect(m.told.length).toBeGreaterThan(0);
    }),
    { numRuns: 8 },
  );
});

function openssl(...args: string[]): boolean {
  return execFileSync("openssl", args, { encoding: "utf8" }).trim().endsWith("OK");
}
