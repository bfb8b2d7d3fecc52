/** Watches: a good stream, one planted violation for each property, and imagined streams that were spoilt. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Change, History, Truth, WatchEvent, WatchRequest, WatchStream } from "./history.ts";
import { imagine, textOf } from "./imagined.fixture.ts";
import type { WatchProperty } from "./violation.ts";
import { judgeWatches } from "./watches.ts";

type Shown = Extract<WatchEvent, { readonly key: string }>;

const text = (name: string, mark: string, color = "red"): string =>
  textOf(`default/${name}`, { uid: name, fields: { "data.mark": mark, "labels.color": color } });
const put = (revision: number, name: string, mark: string, color = "red"): Change => ({
  key: `default/${name}`,
  revision,
  object: text(name, mark, color),
});

/** a comes, changes, turns blue, turns red again, goes; b and c come in one revision. */
const truth: Truth = {
  changes: [
    put(10, "a", "1"),
    put(11, "a", "2"),
    put(12, "a", "3", "blue"),
    put(14, "b", "4"),
    put(14, "c", "5"),
    put(15, "a", "6"),
    { key: "default/a", revision: 17, object: undefined },
    put(18, "b", "7"),
  ],
  head: 20,
};

const event = (type: Shown["type"], revision: number, name: string, mark: string, color = "red"): WatchEvent => ({
  type,
  atMs: revision,
  key: `default/${name}`,
  revision,
  object: text(name, mark, color),
});
const bookmark = (revision: number, endsInitial = false): WatchEvent => ({
  type: "BOOKMARK",
  atMs: revision,
  revision,
  endsInitial,
});

const all: readonly WatchEvent[] = [
  event("ADDED", 10, "a", "1"),
  event("MODIFIED", 11, "a", "2"),
  event("MODIFIED", 12, "a", "3", "blue"),
  event("ADDED", 14, "b", "4"),
  event("ADDED", 14, "c", "5"),
  event("MODIFIED", 15, "a", "6"),
  bookmark(16),
  event("DELETED", 17, "a", "6"),
  event("MODIFIED", 18, "b", "7"),
  bookmark(20),
];
const red: readonly WatchEvent[] = [
  event("ADDED", 10, "a", "1"),
  event("MODIFIED", 11, "a", "2"),
  event("DELETED", 12, "a", "2"),
  event("ADDED", 14, "b", "4"),
  event("ADDED", 14, "c", "5"),
  event("ADDED", 15, "a", "6"),
  event("DELETED", 17, "a", "6"),
  event("MODIFIED", 18, "b", "7"),
];
const initial: readonly WatchEvent[] = [
  event("ADDED", 14, "b", "4"),
  event("ADDED", 14, "c", "5"),
  event("ADDED", 15, "a", "6"),
];

const from = (revision: number, selection: WatchRequest["selection"] = {}): WatchRequest => ({
  namespace: "default",
  revision,
  initial: false,
  selection,
});
const fromNow: WatchRequest = { namespace: "default", initial: true, selection: {} };
const onlyRed = { labels: { color: "red" } };

function streamOf(request: WatchRequest, events: readonly WatchEvent[]): WatchStream {
  return { id: 1, watcher: "w", server: "s", request, events, openedMs: 0, endedMs: 99, end: "server" };
}

function propertiesOf(request: WatchRequest, events: readonly WatchEvent[], fresh = 0): string[] {
  const history: History = { operations: [], lists: [], watches: [streamOf(request, events)], truth };
  return [...new Set(judgeWatches(history, () => fresh).map(({ property }) => property))];
}

const without = (events: readonly WatchEvent[], ...places: number[]): WatchEvent[] =>
  events.filter((_, i) => !places.includes(i));
const replaced = (events: readonly WatchEvent[], place: number, event: WatchEvent): WatchEvent[] =>
  events.with(place, event);

describe("good streams", () => {
  test.each<[string, WatchRequest, readonly WatchEvent[]]>([
    ["everything from the beginning", from(5), all],
    ["from the middle", from(12), all.slice(3)],
    ["ended early", from(5), all.slice(0, 3)],
    ["nothing yet", from(18), [bookmark(20)]],
    ["a selection that objects enter and leave", from(5, onlyRed), red],
    ["one name", from(5, { name: "c" }), [event("ADDED", 14, "c", "5")]],
    ["what there is, up to its mark", fromNow, [...initial, bookmark(16, true), ...all.slice(7)]],
    ["what there is, without a mark", fromNow, [...initial, ...all.slice(7)]],
    ["the first of what there is", fromNow, initial.slice(0, 2)],
  ])("%s", (_, request, events) => {
    expect(propertiesOf(request, events)).toEqual([]);
  });
});

describe("planted violations", () => {
  test.each<[WatchProperty, string, WatchRequest, readonly WatchEvent[]]>([
    ["Ordered", "two events change places", from(5), [all[1], all[0], ...all.slice(2)] as WatchEvent[]],
    ["Ordered", "a bookmark goes back", from(5), [...all, bookmark(19)]],
    ["Unique", "an event comes twice", from(5), [...all.slice(0, 2), ...all.slice(1)]],
    ["Atomic", "half of a revision is missing", from(5), without(all.slice(0, 6), 4)],
    ["Atomic", "the stream ends within a revision", from(5), all.slice(0, 4)],
    ["Reliable", "an event in the middle is missing", from(5), without(all.slice(0, 6), 1)],
    ["Reliable", "an event that never happened", from(5), [...all, event("MODIFIED", 19, "b", "9")]],
    ["Reliable", "an object as it never was", from(5), replaced(all, 1, event("MODIFIED", 11, "a", "1"))],
    ["Resumable", "the first event after the revision is missing", from(10), all.slice(2)],
    ["Resumable", "an event of before the revision", from(11), all.slice(1)],
    [
      "Bookmarkable",
      "an event comes after its bookmark",
      from(5),
      [...all.slice(0, 5), all[6], all[5], ...all.slice(7)] as WatchEvent[],
    ],
    ["Bookmarkable", "a bookmark hides a missing event", from(16), [bookmark(18)]],
    ["Bookmarkable", "a bookmark of the future", from(18), [bookmark(21)]],
    [
      "PreviousObject",
      "a delete shows an older object",
      from(5),
      replaced(all, 7, event("DELETED", 17, "a", "3", "blue")),
    ],
    [
      "PreviousObject",
      "what leaves is shown as it is outside",
      from(5, onlyRed),
      replaced(red, 2, event("DELETED", 12, "a", "3", "blue")),
    ],
    ["IsCreate", "a change is called ADDED", from(5), replaced(all, 1, event("ADDED", 11, "a", "2"))],
    ["IsCreate", "a new object is called MODIFIED", from(5), replaced(all, 3, event("MODIFIED", 14, "b", "4"))],
    [
      "Filter",
      "what is not selected is shown",
      from(5, onlyRed),
      replaced(red, 2, event("MODIFIED", 12, "a", "3", "blue")),
    ],
    [
      "Filter",
      "another name is shown",
      from(5, { name: "c" }),
      [event("ADDED", 14, "b", "4"), event("ADDED", 14, "c", "5")],
    ],
    ["InitialState", "an object is missing at first", fromNow, [...without(initial, 1), bookmark(16, true)]],
    ["InitialState", "a deleted object is there at first", fromNow, [...initial, bookmark(17, true)]],
    [
      "InitialState",
      "states of two revisions are mixed",
      fromNow,
      [event("ADDED", 18, "b", "7"), ...initial.slice(1), ...all.slice(7)],
    ],
  ])("%s: %s", (property, _, request, events) => {
    expect(propertiesOf(request, events)).toContain(property);
  });

  test("InitialState: older than what was acknowledged before", () => {
    expect(propertiesOf(fromNow, [...initial, bookmark(16, true)], 16)).toEqual([]);
    expect(propertiesOf(fromNow, [...initial, bookmark(16, true)], 17)).toEqual(["InitialState"]);
    expect(propertiesOf(fromNow, [...initial, ...all.slice(7)], 17)).toEqual(["InitialState"]);
  });
});

const seeds = fc.integer({ min: 0, max: 1_000_000 });

test("whatever a correct server shows passes", () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      expect(judgeWatches(imagine({ seed, operations: 60, watchers: 5 }))).toEqual([]);
    }),
    { numRuns: 150 },
  );
});

/** Each spoils a run of at least three events, at its second. */
const SPOIL: Readonly<Record<string, (run: readonly Shown[], any: readonly Shown[]) => WatchEvent[]>> = {
  swap: ([a, b, c, ...rest]) => [a, c, b, ...rest] as WatchEvent[],
  drop: ([a, , ...rest]) => [a, ...rest] as WatchEvent[],
  double: ([a, b, ...rest]) => [a, b, b, ...rest] as WatchEvent[],
  stale: ([a, b, ...rest]) => [a, { ...b, object: `${b?.object} ` }, ...rest] as WatchEvent[],
  revive: ([a, b, ...rest]) =>
    [a, { ...b, type: b?.type === "DELETED" ? "ADDED" : "DELETED" }, ...rest] as WatchEvent[],
  invent: ([a, b, ...rest]) => [a, b, { ...b, key: "default/nobody" }, ...rest] as WatchEvent[],
};

test.each(Object.keys(SPOIL))("whatever stream is spoilt is found: %s", (name) => {
  let spoilt = 0;
  fc.assert(
    fc.property(seeds, (seed) => {
      const { watches, truth, ...rest } = imagine({ seed, operations: 60, watchers: 3 });
      for (const stream of watches) {
        const shown = stream.events.filter((event): event is Shown => "key" in event);
        if (stream.request.initial || shown.length < 3) continue;
        spoilt++;
        const events = (SPOIL[name] as (typeof SPOIL)[string])(shown, shown);
        const history = { ...rest, watches: [{ ...stream, events }], ...(truth ? { truth } : {}) };
        expect(judgeWatches(history)).not.toEqual([]);
      }
    }),
    { numRuns: 60 },
  );
  expect(spoilt).toBeGreaterThan(20);
});
