import * as fc from "fast-check";
import { kindOf, type KindDefinition } from "@pilothouse/kinds";
import { expect, test } from "vitest";
import { Entry } from "./entry.ts";
import { Slabs, SLAB_BYTES } from "./slab.ts";

const kind = kindOf("", "v1", "configmaps") as KindDefinition;
const facts = { namespace: "", name: "", uid: "", labels: {}, fields: {}, ownerUids: [], deleting: false };

function entryOf(bytes: Uint8Array): Entry {
  return new Entry("key", kind, 1, undefined, facts, bytes);
}

test("what lives keeps its bytes, and stored bytes cost at most half as much again, whatever comes and goes", () => {
  const sizes = fc.array(
    fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 60_000 }) }, fc.integer({ min: 130_000, max: 140_000 })),
    { minLength: 100, maxLength: 400 },
  );
  const program = fc.record({ sizes, dropEvery: fc.integer({ min: 2, max: 9 }) });
  fc.assert(
    fc.property(program, ({ sizes, dropEvery }) => {
      const slabs = new Slabs();
      const living = new Map<Entry, number>();
      for (const [i, size] of sizes.entries()) {
        // Every other one is written where it is to lie.
        const bytes = i % 2 === 0 ? Buffer.alloc(size) : slabs.room(size);
        const entry = entryOf(bytes.fill(i % 251));
        slabs.place(entry);
        if (i % 2 === 1) expect(entry.bytes.buffer).toBe(bytes.buffer);
        living.set(entry, i % 251);
        if (i % dropEvery === 0) continue;
        const [victim] = [...living.keys()].slice(i % living.size);
        if (!victim) continue;
        living.delete(victim);
        slabs.release(victim);
      }
      let storedBytes = 0;
      for (const [entry, fill] of living) {
        storedBytes += entry.bytes.length;
        expect(entry.bytes.every((byte) => byte === fill)).toBe(true);
      }
      expect(slabs.residentBytes).toBeLessThanOrEqual(storedBytes * 1.5 + 2 * SLAB_BYTES);
    }),
    { numRuns: 30 },
  );
});

test("large objects have buffers of their own", () => {
  const slabs = new Slabs();
  const large = entryOf(Buffer.alloc(SLAB_BYTES));
  slabs.place(large);
  expect(large.slab).toBeUndefined();
  slabs.release(large);
  expect(slabs.residentBytes).toBe(SLAB_BYTES);
});

test("readers keep the bytes that they hold when a slab is emptied", () => {
  const slabs = new Slabs();
  const entries = Array.from({ length: 40 }, (_, i) => entryOf(Buffer.alloc(50_000, i)));
  for (const entry of entries) slabs.place(entry);
  const held = (entries[0] as Entry).bytes;
  for (const entry of entries.slice(1, 20)) slabs.release(entry);
  expect((entries[0] as Entry).bytes.buffer).not.toBe(held.buffer);
  expect(held.every((byte) => byte === 0)).toBe(true);
});
