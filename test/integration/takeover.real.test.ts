/** How fast a leader is replaced (C12): real processes, a real etcd, beats over a real NATS, real health ports. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { electionKey } from "@pilothouse/election";
import type { Store } from "@pilothouse/store";
import { etcdStore } from "@pilothouse/store-etcd";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  expectNoLeaks,
  freePorts,
  makeTestDirectory,
  removeTestDirectory,
  startEtcd,
  startNats,
  startProcess,
  until,
  type TestProcess,
} from "../harness/index.ts";

const KEY = electionKey("test");
/** After this much silence of a leader that was heard before, and a probe, a standby takes over; without them its lease has 15 s. */
const TAKEOVER_AIM_MS = 4_000;
const CLEAN_AIM_MS = 1_000;
/** What a busy machine may add. Still far from the lease, so that a takeover by lease alone is red. */
const PATIENCE_MS = 5_000;

const opened: (() => Promise<unknown>)[] = [];
const candidates = new Map<string, TestProcess>();
let store: Store;

beforeAll(async () => {
  const directory = await makeTestDirectory();
  opened.push(() => removeTestDirectory(directory));
  const [etcd, nats, ports] = await Promise.all([startEtcd(), startNats(), freePorts(3)]);
  opened.push(() => Promise.all([etcd.stop(), nats.stop()]));
  store = etcdStore({ endpoints: [etcd.endpoint], clock: systemClock });
  opened.push(() => store.close());
  for (const [i, port] of ports.entries()) {
    const args = [
      join(import.meta.dirname, "candidate.fixture.ts"),
      `--name=c${i}`,
      `--etcd-servers=${etcd.endpoint}`,
      `--nats-servers=${nats.endpoint}`,
      `--health-port=${port}`,
    ];
    const home = join(directory, `c${i}`);
    await mkdir(home);
    const candidate = startProcess({ command: process.execPath, args, directory: home });
    candidates.set(`c${i}`, candidate);
    opened.push(async () => {
      candidate.signal("SIGKILL");
      await candidate.ended;
    });
  }
});

afterAll(async () => {
  for (const close of opened.toReversed()) await close();
  await expectNoLeaks();
});

test("a leader that is killed, frozen or stopped is replaced fast, and a frozen one that wakes does not lead", async () => {
  const killed = await settledLeader();
  const afterKillMs = await replacedWithin(killed, (process) => process.signal("SIGKILL"));
  const frozen = await settledLeader();
  const afterFreezeMs = await replacedWithin(frozen, (process) => process.signal("SIGSTOP"));
  const next = await settledLeader();
  processOf(frozen).signal("SIGCONT");
  await sleep(systemClock, 1_000);
  expect(await leader()).toBe(next);
  const afterStopMs = await replacedWithin(next, (process) => process.signal("SIGTERM"));
  expect(await leader()).toContain(nameOf(frozen));

  const figures = { afterKillMs, afterFreezeMs, afterStopMs };
  process.stdout.write(
    `takeover: ${JSON.stringify(figures)} (aims: ${TAKEOVER_AIM_MS}, ${TAKEOVER_AIM_MS}, ${CLEAN_AIM_MS})\n`,
  );
  expect(afterKillMs).toBeLessThan(TAKEOVER_AIM_MS + PATIENCE_MS);
  expect(afterFreezeMs).toBeLessThan(TAKEOVER_AIM_MS + PATIENCE_MS);
  expect(afterStopMs).toBeLessThan(CLEAN_AIM_MS + PATIENCE_MS);
});

/** The identity that the key holds. */
async function leader(): Promise<string | undefined> {
  const { entry } = await store.get(KEY);
  return entry && (JSON.parse(Buffer.from(entry.value).toString("utf8")) as { identity: string }).identity;
}

/** A leader whose beats the standbys have heard. */
async function settledLeader(): Promise<string> {
  await until("somebody leads", async () => (await leader()) !== undefined, 20_000);
  await sleep(systemClock, 1_500);
  return (await leader()) as string;
}

async function replacedWithin(identity: string, strike: (process: TestProcess) => void): Promise<number> {
  const startMs = systemClock.monotonicMs();
  strike(processOf(identity));
  await until(`${identity} is replaced`, async () => ![identity, undefined].includes(await leader()), 30_000);
  return Math.round(systemClock.monotonicMs() - startMs);
}

function processOf(identity: string): TestProcess {
  return candidates.get(nameOf(identity)) as TestProcess;
}

/** An identity is the process's name and an id of its incarnation. */
function nameOf(identity: string): string {
  return identity.split("_")[0] ?? "";
}
