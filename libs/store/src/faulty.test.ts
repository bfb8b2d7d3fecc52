import { manualClock } from "@pilothouse/clock/manual";
import { seededRandom } from "@pilothouse/clock/seeded";
import { expect, test } from "vitest";
import { storeConformance } from "./conformance.ts";
import { faultyStore, noFaults } from "./faulty.ts";
import type { StoreFaults } from "./faulty.ts";
import { memoryStore } from "./memory.ts";
import type { Store } from "./index.ts";

// Lag and broken streams are no excuse: what a watch promises holds through them.
storeConformance("memory store behind lagging members and breaking streams", async () => {
  const clock = manualClock();
  const random = seededRandom("lag");
  const truth = memoryStore({ clock });
  const faults: StoreFaults = {
    ...noFaults,
    watchLagMs: () => random.next() * 40,
    breaksWatch: () => random.next() < 0.2,
  };
  const store = faultyStore(truth, { clock, faults, members: 3 });
  return { store, pass: (ms) => clock.advance(ms), breakConnections: () => undefined, stop: () => truth.close() };
});

test("a transaction whose reply is lost is done, and unknown to its client", async () => {
  const { clock, truth, store } = make({ call: () => ({ outMs: 1, backMs: 1, end: "replyLost" }) });
  const writing = expect(put(store, "/a")).rejects.toMatchObject({ outcome: "unknown" });
  await clock.advance(6_000);
  await writing;
  expect((await truth.get("/a")).entry?.version).toBe(1);
});

test("a lost request and a refused connection leave nothing behind", async () => {
  for (const end of ["requestLost", "refused"] as const) {
    const { clock, truth, store } = make({ call: () => ({ outMs: 0, backMs: 0, end }) });
    const writing = expect(put(store, "/a")).rejects.toMatchObject({ outcome: end === "refused" ? "none" : "unknown" });
    await clock.advance(6_000);
    await writing;
    expect((await truth.get("/a")).entry).toBeUndefined();
  }
});

test("a serializable read may be stale, a linearizable one is not", async () => {
  const { store } = make({ staleRevisions: () => 1 });
  await put(store, "/a");
  const { revision } = await put(store, "/a");
  expect(await store.get("/a", { serializable: true })).toMatchObject({
    entry: { version: 1 },
    revision: revision - 1,
  });
  expect(await store.get("/a")).toMatchObject({ entry: { version: 2 }, revision });
});

test("a lease can be lost although it is kept alive", async () => {
  const { store } = make({ losesLease: () => true });
  const { leaseId } = await store.grantLease(10);
  expect(await store.keepLeaseAlive(leaseId)).toBe(0);
});

function make(faults: Partial<StoreFaults>): { clock: ReturnType<typeof manualClock>; truth: Store; store: Store } {
  const clock = manualClock();
  const truth = memoryStore({ clock });
  return { clock, truth, store: faultyStore(truth, { clock, faults: { ...noFaults, ...faults } }) };
}

function put(store: Store, key: string): Promise<{ revision: number }> {
  return store.txn({ compares: [], then: [{ op: "put", key, value: Buffer.from("1") }] });
}
