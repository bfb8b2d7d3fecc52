import * as fc from "fast-check";
import { kindOf, type KindDefinition } from "@pilothouse/kinds";
import { expect, test } from "vitest";
import { Entry } from "./entry.ts";
import { History } from "./history.ts";
import { compareKeys, KindIndex } from "./kind-index.ts";

const kind = kindOf("", "v1", "configmaps") as KindDefinition;
const facts = { namespace: "", name: "", uid: "", labels: {}, fields: {}, ownerUids: [], deleting: false };
const entryOf = (key: string, revision = 1): Entry =>
  new Entry(key, kind, revision, undefined, facts, Buffer.alloc(100));

test("the index is sorted as etcd sorts, and a prefix is a range of it", () => {
  const key = fc.array(fc.constantFrom("a", "b", "/", "-", "é", "\u{1f600}", "\uffee"), { maxLength: 6 });
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.boolean()), { maxLength: 60 }), key, (writes, prefixParts) => {
      const index = new KindIndex();
      const truth = new Set<string>();
      for (const [parts, isPut] of writes) {
        const name = parts.join("");
        if (isPut) index.put(entryOf(name));
        else index.delete(name);
        if (isPut) truth.add(name);
        else truth.delete(name);
      }
      const prefix = `${prefixParts.join("")}/`;
      const expected = [...truth]
        .filter((name) => name.startsWith(prefix))
        .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(index.withPrefix(prefix).map((entry) => entry.key)).toEqual(expected);
      expect(index.size).toBe(truth.size);
      for (const name of truth) expect(index.get(name)?.key).toBe(name);
    }),
  );
});

test("keys compare as their bytes do", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
      expect(Math.sign(compareKeys(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
});

test("history keeps the latest changes, drops the oldest, and says what it no longer has", () => {
  const dropped: number[] = [];
  const history = new History({ maxChanges: 3, maxBytes: 1_000 }, 10, ({ entry }) => dropped.push(entry.revision));
  for (const revision of [12, 13, 13, 15])
    history.append({ type: "MODIFIED", entry: entryOf("a", revision), previous: undefined });
  expect(dropped).toEqual([12]);
  expect(history.floor).toBe(12);
  expect(history.positionAfter(11)).toBeUndefined();
  const seen: unknown[] = [];
  for (let at = history.positionAfter(12) ?? 0; ; at++) {
    const change = history.at(at);
    if (change === undefined || change === "dropped") break;
    seen.push(change.entry.revision);
  }
  expect(seen).toEqual([13, 13, 15]);
  expect(history.at(0)).toBe("dropped");
  expect(history.positionAfter(99)).toBe(history.end);
});

test("history is bounded by bytes too, and stays right after thousands of drops", () => {
  const history = new History({ maxChanges: 1_000, maxBytes: 1_000 }, 0, () => undefined);
  for (let revision = 1; revision <= 5_000; revision++)
    history.append({ type: "MODIFIED", entry: entryOf("a", revision), previous: undefined });
  expect(history.floor).toBe(4_990);
  const change = history.at(history.positionAfter(4_995) ?? 0);
  expect(change).toMatchObject({ entry: { revision: 4_996 } });
});
