import { memoryBroker } from "@pilothouse/bus/memory";
import type { MemoryBroker } from "@pilothouse/bus/memory";
import { manualClock } from "@pilothouse/clock/manual";
import type { ManualClock } from "@pilothouse/clock/manual";
import { seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { faultyStore, noFaults } from "@pilothouse/store/faulty";
import type { CallFate, StoreFaults } from "@pilothouse/store/faulty";
import { memoryStore } from "@pilothouse/store/memory";
import type { Store } from "@pilothouse/store";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { electionKey, runElection } from "./index.ts";
import type { Leadership } from "./index.ts";

const KEY = electionKey("scheduler");

test("a candidate alone leads, with the create-revision of its key as the fence", async () => {
  const world = new World();
  const a = world.candidate("a");
  await world.pass(100);
  const { entry } = await world.truth.get(KEY);
  expect(a.leading?.createRevision).toBe(entry?.createRevision);
  expect(JSON.parse(Buffer.from(entry?.value ?? []).toString())).toEqual({
    identity: "a",
    healthAddress: "a:1",
    since: "2026-01-01T00:00:00.000Z",
  });
  await world.stop();
});

test("of many candidates one leads, and stays the leader", async () => {
  const world = new World();
  const all = ["a", "b", "c"].map((name) => world.candidate(name));
  await world.pass(60_000);
  expect(all.flatMap((one) => one.history)).toHaveLength(1);
  await world.stop();
});

test("a clean stop hands over at once", async () => {
  const world = new World();
  const a = world.candidate("a");
  await world.pass(100);
  const b = world.candidate("b");
  await world.pass(1_000);
  await Promise.all([a.scope.close(), world.pass(100)]);
  await world.pass(100);
  expect(a.leading).toBeUndefined();
  expect(b.leading).toBeDefined();
  await world.stop();
});

test("a dead leader is replaced within two and a half seconds", async () => {
  const world = new World();
  const a = world.candidate("a");
  await world.pass(100);
  const b = world.candidate("b");
  await world.pass(6_000);
  a.crash();
  await world.pass(900);
  expect(b.leading).toBeUndefined();
  await world.pass(1_600);
  expect(b.leading).toBeDefined();
  await world.stop();
});

test("a leader that only the bus has lost keeps leading, for its health port answers", async () => {
  const world = new World();
  const a = world.candidate("a");
  await world.pass(100);
  world.candidate("b");
  await world.pass(6_000);
  world.broker.setUp(false);
  await world.pass(60_000);
  expect(a.leading).toBeDefined();
  expect(a.history).toHaveLength(1);
  await world.stop();
});

test("without beats and probes the lease is the fallback", async () => {
  const world = new World();
  const a = world.candidate("a");
  await world.pass(100);
  const b = world.candidate("b", { probe: false });
  await world.pass(6_000);
  a.crash();
  await world.pass(9_000);
  expect(b.leading).toBeUndefined();
  await world.pass(8_000);
  expect(b.leading).toBeDefined();
  await world.stop();
});

test("a leader cut off from the store steps down before its lease can have ended", async () => {
  const world = new World();
  const a = world.candidate("a");
  await world.pass(5_500);
  a.faults.call = () => ({ outMs: 0, backMs: 0, end: "requestLost" });
  await world.pass(9_000);
  expect(a.leading).toBeDefined();
  await world.pass(1_250);
  expect(a.leading).toBeUndefined();
  expect((await world.truth.get(KEY)).entry).toBeDefined();
  await world.pass(30_000);
  a.faults.call = answered;
  await world.pass(10_000);
  expect(a.leading).toBeDefined();
  await world.stop();
});

test("after a store that was lost for long somebody leads at once, though the old lease goes on", async () => {
  const world = new World();
  const all = ["a", "b", "c"].map((name) => world.candidate(name));
  await world.pass(6_000);
  const leaseId = (await world.truth.get(KEY)).entry?.leaseId ?? "";
  for (const one of all) one.faults.call = () => ({ outMs: 0, backMs: 0, end: "refused" });
  await world.pass(12_000);
  expect(all.filter((one) => one.leading)).toEqual([]);
  // A new leader of etcd gives every lease its whole time again.
  await world.truth.keepLeaseAlive(leaseId);
  for (const one of all) one.faults.call = answered;
  await world.pass(1_000);
  expect(all.map((one) => one.leading !== undefined)).toEqual([true, false, false]);
  await world.stop();
});

test("a leader that was paused finds its fence gone, and learns that it has lost", async () => {
  const world = new World();
  const a = world.candidate("a");
  await world.pass(100);
  const b = world.candidate("b");
  await world.pass(6_000);
  a.pause();
  await world.pass(4_000);
  const old = a.leading;
  expect(old).toBeDefined();
  expect(b.leading).toBeDefined();
  expect(await world.writesAs(old)).toBe(false);
  expect(await world.writesAs(b.leading)).toBe(true);
  await a.resume();
  await world.pass(500);
  expect(a.leading).toBeUndefined();
  expect(String(old?.signal.reason)).toMatch(/LeadershipLost: lost the election scheduler/);
  await world.stop();
});

test("a lease lost in the store ends the leadership, and somebody leads again", async () => {
  const world = new World();
  const a = world.candidate("a");
  await world.pass(100);
  const first = a.leading;
  const leaseId = (await world.truth.get(KEY)).entry?.leaseId;
  await world.truth.revokeLease(leaseId ?? "");
  await world.pass(50);
  expect(first?.signal.aborted).toBe(true);
  await world.pass(1_000);
  expect(a.leading?.createRevision).toBeGreaterThan(first?.createRevision ?? Infinity);
  await world.stop();
});

test("an answer lost while creating the key leaves no leader without a process", async () => {
  const world = new World();
  const a = world.candidate("a");
  let losses = 2;
  a.faults.call = (call) => ({ outMs: 0, backMs: 0, end: call === "txn" && losses-- > 0 ? "replyLost" : "answered" });
  await world.pass(15_000);
  expect(a.leading?.createRevision).toBe((await world.truth.get(KEY)).entry?.createRevision);
  await world.stop();
});

test("work that returns gives the leadership up; work that throws ends the election with its error", async () => {
  const world = new World();
  const a = world.candidate("a");
  await world.pass(100);
  const b = world.candidate("b");
  await world.pass(100);
  a.endWork();
  await world.pass(50);
  expect(b.leading).toBeDefined();
  b.endWork(new Error("cannot go on"));
  await world.pass(3_000);
  await expect(b.ended).rejects.toThrow("cannot go on");
  expect(a.leading).toBeDefined();
  await world.stop();
});

// Whatever breaks, at most one fence is valid at any moment and no create-revision has two owners; when all heals, somebody leads.
test("never two valid fences, whatever breaks, and one leader when all heals", async () => {
  const mishap = fc.record({
    who: fc.nat(2),
    what: fc.constantFrom("pause", "resume", "lossy", "sound", "busDown", "busUp", "liar", "loseLease", "stopBeing"),
    afterMs: fc.integer({ min: 50, max: 7_000 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.string(), fc.array(mishap, { maxLength: 25 }), async (seed, mishaps) => {
      const world = new World(seed);
      const all = ["a", "b", "c"].map((name) => world.candidate(name));
      for (const { who, what, afterMs } of mishaps) {
        const one = all[who] as TestCandidate;
        if (what === "pause") one.pause();
        if (what === "resume") await one.resume();
        if (what === "lossy") one.faults.call = () => world.randomFate();
        if (what === "sound") one.faults.call = answered;
        if (what === "busDown") world.broker.setUp(false);
        if (what === "busUp") world.broker.setUp(true);
        if (what === "liar") one.liar = !one.liar;
        if (what === "loseLease") one.losesLease = true;
        if (what === "stopBeing") one.endWork();
        await world.pass(afterMs);
      }
      world.broker.setUp(true);
      for (const one of all) {
        one.faults.call = answered;
        one.liar = false;
        await one.resume();
      }
      await world.pass(40_000);
      expect(all.filter((one) => one.leading)).toHaveLength(1);
      await world.stop();
    }),
    { numRuns: 60 },
  );
}, 60_000);

function answered(): CallFate {
  return { outMs: 0, backMs: 0, end: "answered" };
}

interface TestCandidate {
  readonly name: string;
  readonly scope: Scope;
  readonly faults: { -readonly [K in keyof StoreFaults]: StoreFaults[K] };
  /** Every leadership this process ever had. */
  readonly history: Leadership[];
  readonly ended: Promise<void>;
  /** The leadership it believes to have. */
  readonly leading: Leadership | undefined;
  /** Says that every other leader is dead. */
  liar: boolean;
  losesLease: boolean;
  /** Its time stands still; its connections stay. */
  pause(): void;
  resume(): Promise<void>;
  /** It is gone: no time, no answers, no calls. */
  crash(): void;
  endWork(error?: Error): void;
}

/** A truth, a broker, and candidates each with a clock of its own. */
class World {
  readonly clock = manualClock();
  readonly truth: Store = memoryStore({ clock: this.clock });
  readonly broker: MemoryBroker = memoryBroker();
  readonly #random;
  readonly #clocks = new Map<ManualClock, { paused: boolean; behindMs: number }>();
  readonly #candidates = new Map<string, TestCandidate & { alive(): boolean }>();

  constructor(seed = "election") {
    this.#random = seededRandom(seed);
  }

  candidate(name: string, { probe = true } = {}): TestCandidate {
    const clock = manualClock();
    const time = { paused: false, behindMs: 0 };
    this.#clocks.set(clock, time);
    const faults = { ...noFaults, losesLease: () => self.losesLease && !(self.losesLease = false) };
    const scope = new Scope(name, () => undefined);
    const history: Leadership[] = [];
    let endWork: (error?: Error) => void = () => undefined;
    let crashed = false;
    const options = {
      name: "scheduler",
      identity: name,
      healthAddress: `${name}:1`,
      store: faultyStore(this.truth, { clock, faults }),
      bus: this.broker.connect(),
      clock,
      random: this.#random.fork(name),
      scope,
    };
    const probeLeader = async ({ identity }: { identity: string }): Promise<boolean> =>
      !self.liar && (this.#candidates.get(identity)?.alive() ?? false);
    const ended = runElection(probe ? { ...options, probeLeader } : options, (leadership) => {
      history.push(leadership);
      return new Promise((resolve, reject) => {
        leadership.signal.addEventListener("abort", () => resolve());
        endWork = (error) => (error ? reject(error) : resolve());
      });
    });
    ended.catch(() => undefined);
    const self: TestCandidate & { alive(): boolean } = {
      name,
      scope,
      faults,
      history,
      ended,
      liar: false,
      losesLease: false,
      get leading() {
        const last = history.at(-1);
        return last && !last.signal.aborted && !crashed ? last : undefined;
      },
      alive: () => !time.paused,
      pause: () => void (time.paused = true),
      resume: async () => {
        if (crashed || !time.paused) return;
        time.paused = false;
        await clock.advance(time.behindMs);
        time.behindMs = 0;
      },
      crash() {
        crashed = true;
        time.paused = true;
        faults.call = () => ({ outMs: 0, backMs: 0, end: "requestLost" });
      },
      endWork: (error) => endWork(error),
    };
    this.#candidates.set(name, self);
    return self;
  }

  /** Lets time pass for everybody who is not paused, and looks at the fences all the while. */
  async pass(ms: number): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= 50) {
      const stepMs = Math.min(50, leftMs);
      await this.clock.advance(stepMs);
      for (const [clock, time] of this.#clocks) {
        if (time.paused) time.behindMs += stepMs;
        else await clock.advance(stepMs);
      }
      await this.#checkFences();
    }
  }

  /** What the apiserver does with a leader's write: the fence is a compare in its transaction. */
  async writesAs(leadership: Leadership | undefined): Promise<boolean> {
    const fence = { key: KEY, target: "createRevision", equals: leadership?.createRevision ?? -1 } as const;
    const value = Buffer.from("written");
    return (await this.truth.txn({ compares: [fence], then: [{ op: "put", key: "/object", value }] })).succeeded;
  }

  randomFate(): CallFate {
    const draw = this.#random.next();
    const end = draw < 0.2 ? "requestLost" : draw < 0.4 ? "replyLost" : draw < 0.6 ? "refused" : "answered";
    return { outMs: Math.floor(this.#random.next() * 300), backMs: Math.floor(this.#random.next() * 300), end };
  }

  async stop(): Promise<void> {
    const all = [...this.#candidates.values()];
    for (const one of all) await one.resume();
    const closing = Promise.all(all.filter((one) => one.alive()).map((one) => one.scope.close()));
    await this.pass(3_000);
    await closing;
    await Promise.all(all.filter((one) => one.alive()).map((one) => one.ended.catch(() => undefined)));
    await this.truth.close();
  }

  async #checkFences(): Promise<void> {
    const { entry } = await this.truth.get(KEY);
    const believers = [...this.#candidates.values()].filter((one) => one.leading);
    const valid = believers.filter((one) => one.leading?.createRevision === entry?.createRevision);
    expect(valid.length).toBeLessThanOrEqual(1);
    const fences = [...this.#candidates.values()].flatMap((one) => one.history.map((had) => had.createRevision));
    expect(new Set(fences).size).toBe(fences.length);
  }
}
