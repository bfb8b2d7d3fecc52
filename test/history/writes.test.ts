/** Writes and lists against revisions, time and truth: imagined histories pass, each planted violation is found and named. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { historyOf, linesOf, MARK, type Change, type History, type Operation, type Version } from "./history.ts";
import { imagine } from "./imagined.fixture.ts";
import { judge } from "./judge.ts";
import { judgeWrites } from "./writes.ts";

const good = imagine({ seed: 3, operations: 200, watchers: 4 });
const changes = good.truth?.changes ?? [];
const head = good.truth?.head ?? 0;

const properties = (history: History): string[] => [...new Set(judgeWrites(history).map(({ property }) => property))];

/** The good history with one operation changed. */
function withOperation(operation: Operation, changed: Partial<Operation>): History {
  return { ...good, operations: good.operations.map((each) => (each === operation ? { ...each, ...changed } : each)) };
}

function withChanges(changes: readonly Change[]): History {
  return { ...good, truth: { changes, head } };
}

function acknowledged(verb: Operation["request"]["verb"]): Operation[] {
  return good.operations.filter(({ request, outcome }) => request.verb === verb && outcome.result === "done");
}

function changeOf({ key, outcome }: Operation): Change {
  const { revision } = (outcome as { readonly version: Version }).version;
  return changes.find((change) => change.key === key && change.revision === revision) as Change;
}

test("what a correct server does passes every judge", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000 }), (seed) => {
      expect(judge(imagine({ seed, operations: 100 }))).toEqual([]);
    }),
    { numRuns: 60 },
  );
});

test("a history read from its lines is the same", () => {
  expect(historyOf(linesOf(good))).toEqual(good);
});

test("RealTime: a later write has the smaller revision", () => {
  const [first, ...later] = acknowledged("patch");
  const last = later.at(-1) as Operation;
  expect(properties(withOperation(last, { outcome: (first as Operation).outcome }))).toContain("RealTime");
});

test("RealTime: a list is older than what was acknowledged before it", () => {
  const list = good.lists.at(-1) as (typeof good.lists)[0];
  expect(properties({ ...good, lists: [{ ...list, revision: (changes[0] as Change).revision }] })).toContain(
    "RealTime",
  );
});

test("Durable: an acknowledged write is not in the store", () => {
  const lost = changeOf(acknowledged("update")[2] as Operation);
  expect(properties(withChanges(changes.filter((change) => change !== lost)))).toContain("Durable");
});

test("Durable: an acknowledged write is in the store with other contents", () => {
  const change = changeOf(acknowledged("create")[2] as Operation);
  const object = change.object?.replace('"made":"yes"', '"made":"no"') ?? "";
  expect(properties(withChanges(changes.map((each) => (each === change ? { ...each, object } : each))))).toContain(
    "Durable",
  );
});

test("Durable: an acknowledged delete is not in the store", () => {
  const [{ key } = { key: "" }] = acknowledged("delete");
  const kept = changes.filter((change) => change.key !== key || change.object !== undefined);
  expect(properties(withChanges(kept))).toContain("Durable");
});

test("Refused: a refused write is in the store", () => {
  const written = acknowledged("patch")[1] as Operation;
  const history = withOperation(written, { outcome: { result: "refused", code: 503, reason: "ServiceUnavailable" } });
  expect(properties(history)).toEqual(["Refused"]);
});

test("Once: a write happened twice", () => {
  const { key, object } = changeOf(acknowledged("update")[0] as Operation);
  expect(properties(withChanges([...changes, { key, object, revision: head }]))).toContain("Once");
});

test("Once: a write that nobody asked for", () => {
  const { key, object = "" } = changeOf(acknowledged("update")[0] as Operation);
  const invented = object.replace(/"mark":"\w+"/, `"mark":"nobody's"`);
  expect(properties(withChanges([...changes, { key, object: invented, revision: head }]))).toEqual(["Once"]);
});

test("Snapshot: a list mixes revisions, leaves out, or is ahead of the store", () => {
  const list = good.lists.find(({ items }) => Object.keys(items).length > 1) as (typeof good.lists)[0];
  const [[key, version] = ["", undefined], ...others] = Object.entries(list.items);
  const mixed = { ...list.items, [key]: { ...(version as Version), revision: 1, fields: { [MARK]: "old" } } };
  expect(properties({ ...good, lists: [{ ...list, items: mixed }] })).toEqual(["Snapshot"]);
  expect(properties({ ...good, lists: [{ ...list, items: Object.fromEntries(others) }] })).toEqual(["Snapshot"]);
  expect(properties({ ...good, lists: [{ ...list, revision: head + 1 }] })).toEqual(["Snapshot"]);
});
