/** Objects as registers: hand-made histories, imagined ones, and imagined ones that were spoilt. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MARK, type History, type Operation, type Outcome, type Request } from "./history.ts";
import { imagine } from "./imagined.fixture.ts";
import { linearize } from "./linearizability.ts";
import { registerModel } from "./register.ts";
import { intervalsByKey, judgeRegisters } from "./registers.ts";

const KEY = "default/a";
const refused = (code: number): Outcome => ({ result: "refused", code, reason: "" });
const unknown: Outcome = { result: "unknown", why: "no answer" };
const shows = (mark: string, revision: number, more: Record<string, string> = {}, uid = "u"): Outcome => ({
  result: "done",
  version: { uid, revision, fields: { [MARK]: mark, ...more } },
});
const done: Outcome = { result: "done" };
const create = (mark: string, more: Record<string, string> = {}): Request => ({
  verb: "create",
  fields: { [MARK]: mark, ...more },
});
const update = (mark: string, revision?: number): Request => ({
  verb: "update",
  fields: { [MARK]: mark },
  ...(revision === undefined ? {} : { revision }),
});
const patch = (mark: string): Request => ({ verb: "patch", fields: { [MARK]: mark } });
const get: Request = { verb: "get" };

/** `[from, to, request, outcome]` each. */
type Row = readonly [number, number, Request, Outcome];

function historyOf(...rows: readonly Row[]): History {
  const operations = rows.map(([invokedMs, answeredMs, request, outcome], id): Operation => ({
    id,
    client: `c${id}`,
    server: "s",
    key: KEY,
    request,
    outcome,
    invokedMs,
    answeredMs,
  }));
  return { operations, lists: [], watches: [] };
}

describe("good histories", () => {
  test.each<[string, readonly Row[]]>([
    [
      "a life",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 4, update("b", 5), shows("b", 6)],
        [5, 6, update("c", 5), refused(409)],
        [7, 8, { verb: "delete", uid: "u", revision: 6 }, done],
        [9, 10, get, refused(404)],
      ],
    ],
    [
      "two creates at once, one of them late",
      [
        [1, 9, create("a"), refused(409)],
        [2, 8, create("b"), shows("b", 5)],
        [3, 4, get, refused(404)],
      ],
    ],
    [
      "a write without an answer that comes about much later",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 4, update("b"), unknown],
        [5, 6, get, shows("a", 5)],
        [7, 8, update("c"), shows("c", 6)],
        [9, 10, get, shows("b", 7)],
      ],
    ],
    [
      "a patch keeps what it does not name",
      [
        [1, 2, create("a", { "data.x": "1" }), shows("a", 5, { "data.x": "1" })],
        [3, 4, patch("b"), shows("b", 6, { "data.x": "1" })],
      ],
    ],
    [
      "deletes without answers",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 4, { verb: "delete" }, unknown],
        [5, 6, { verb: "delete" }, unknown],
        [7, 8, create("b"), shows("b", 6, {}, "u2")],
        [9, 10, get, refused(404)],
      ],
    ],
    [
      "a lost race tells nothing",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 4, patch("b"), refused(409)],
        [5, 6, create("c"), refused(429)],
      ],
    ],
  ])("%s", (_, rows) => {
    expect(judgeRegisters(historyOf(...rows))).toEqual([]);
  });
});

describe("planted violations", () => {
  test.each<[string, readonly Row[]]>([
    [
      "a stale read",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 4, update("b"), shows("b", 6)],
        [5, 6, get, shows("a", 5)],
      ],
    ],
    [
      "two compare-and-swaps of one revision",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 8, update("b", 5), shows("b", 6)],
        [4, 9, update("c", 5), shows("c", 7)],
      ],
    ],
    [
      "two creates",
      [
        [1, 5, create("a"), shows("a", 5)],
        [2, 6, create("b"), shows("b", 6)],
      ],
    ],
    [
      "a patch that undoes another's write",
      [
        [1, 2, create("a", { "data.x": "1" }), shows("a", 5, { "data.x": "1" })],
        [3, 4, { verb: "patch", fields: { [MARK]: "b", "data.x": "2" } }, shows("b", 6, { "data.x": "2" })],
        [5, 6, patch("c"), shows("c", 7, { "data.x": "1" })],
      ],
    ],
    [
      "an acknowledged write that is gone",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 4, get, refused(404)],
      ],
    ],
    [
      "a deleted object that lives again",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 4, { verb: "delete" }, done],
        [5, 6, get, shows("a", 5)],
      ],
    ],
    [
      "one delete acknowledged twice",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 8, { verb: "delete" }, done],
        [4, 9, { verb: "delete" }, done],
      ],
    ],
    [
      "a delete whose preconditions do not hold",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 4, update("b"), shows("b", 6)],
        [5, 6, { verb: "delete", revision: 5 }, done],
      ],
    ],
    [
      "an unanswered write that happens twice",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 4, update("b"), unknown],
        [5, 6, get, shows("b", 6)],
        [7, 8, update("c"), shows("c", 7)],
        [9, 10, get, shows("b", 8)],
      ],
    ],
    [
      "a refused write that is there",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 4, update("b", 4), refused(409)],
        [5, 6, get, shows("b", 6)],
      ],
    ],
    [
      "a conflict without a cause",
      [
        [1, 2, create("a"), shows("a", 5)],
        [3, 4, update("b", 5), refused(409)],
        [5, 6, get, shows("a", 5)],
      ],
    ],
    [
      "a write seen before it was asked for",
      [
        [1, 2, get, shows("a", 5)],
        [3, 4, create("a"), shows("a", 5)],
      ],
    ],
  ])("%s", (_, rows) => {
    expect(judgeRegisters(historyOf(...rows))).toMatchObject([{ property: "Linearizable" }]);
  });

  test("a list that leaves out what was acknowledged before it", () => {
    const history = historyOf([1, 2, create("a"), shows("a", 5)]);
    const list = { id: 9, client: "c", server: "s", namespace: "default", pages: 1, revision: 5 };
    const lists = [{ ...list, invokedMs: 3, answeredMs: 4, items: {} }];
    expect(judgeRegisters({ ...history, lists })).toMatchObject([{ property: "Linearizable" }]);
  });
});

const seeds = fc.integer({ min: 0, max: 1_000_000 });

test("whatever a correct server answers passes, with and without the truth", () => {
  fc.assert(
    fc.property(seeds, fc.boolean(), (seed, withTruth) => {
      expect(judgeRegisters(imagine({ seed, operations: 80, lost: 100, withTruth }))).toEqual([]);
    }),
    { numRuns: 80 },
  );
});

test("an answer put in the place of another is found wherever trying all orders finds it", () => {
  let wrong = 0;
  fc.assert(
    fc.property(seeds, fc.nat(), fc.nat(), (seed, one, other) => {
      const { operations } = imagine({
        seed,
        operations: 9,
        clients: 3,
        keys: 1,
        lost: 60,
        watchers: 0,
        withTruth: false,
      });
      const [a, b] = [operations[one % 9] as Operation, operations[other % 9] as Operation];
      const spoilt = operations.map((each) =>
        each === a ? { ...a, outcome: b.outcome } : each === b ? { ...b, outcome: a.outcome } : each,
      );
      const history = { operations: spoilt, lists: [], watches: [] };
      const [intervals = []] = intervalsByKey(history).values();
      const isGood = hasOrder("absent", intervals);
      if (!isGood) wrong++;
      expect(judgeRegisters(history).length === 0).toBe(isGood);
    }),
    { numRuns: 250 },
  );
  expect(wrong).toBeGreaterThan(30);
});

const model = registerModel("absent");

function hasOrder(
  state: ReturnType<typeof model.step> & {},
  left: NonNullable<ReturnType<ReturnType<typeof intervalsByKey>["get"]>>,
): boolean {
  if (left.every(({ optional }) => optional)) return true;
  return left.some((next) => {
    if (left.some((other) => !other.optional && other.answeredMs < next.invokedMs)) return false;
    const after = model.step(state, next.operation);
    return (
      after !== undefined &&
      hasOrder(
        after,
        left.filter((other) => other !== next),
      )
    );
  });
}

test("a history of many thousand operations is judged in hardly more steps than it has operations", () => {
  const history = imagine({ seed: 7, operations: 8_000, clients: 12, keys: 2, lost: 30, watchers: 0 });
  for (const intervals of intervalsByKey(history).values())
    expect(linearize(model, intervals, 2 * intervals.length).verdict).toBe("linearizable");
});

test("the counterexample is the few operations that matter", () => {
  const history = imagine({ seed: 11, operations: 3_000, clients: 6, keys: 2, lost: 10, watchers: 0 });
  const reads = history.operations.filter(
    ({ request, outcome }) => request.verb === "get" && outcome.result === "done",
  );
  const stale = reads[300] as Operation;
  const old = reads.find(({ key }) => key === stale.key) as Operation;
  const operations = history.operations.map((each) => (each === stale ? { ...stale, outcome: old.outcome } : each));
  const [violation, ...others] = judgeRegisters({ ...history, operations });
  expect(others).toEqual([]);
  expect(violation?.message.split("\n").length).toBeLessThan(12);
  expect(violation?.message).toContain(`get ${stale.key}`);
});
