/**
 * Judges watches: etcd's nine properties, as tests/robustness/validate of etcd has them, in the terms of Kubernetes' watch: a
 * selection sees objects enter (ADDED) and leave (DELETED), and a stream may begin with what there is.
 */
import { describeStream } from "./describe.ts";
import type { History, Truth, WatchEvent, WatchStream } from "./history.ts";
import { expectedEvents, ObjectReader, type ExpectedEvent } from "./truth.ts";
import type { Violation, WatchProperty } from "./violation.ts";

type Shown = Extract<WatchEvent, { readonly key: string }>;
type Bookmark = Extract<WatchEvent, { readonly type: "BOOKMARK" }>;

/** `freshness`: the revision that surely was acknowledged before an instant, for streams that named none. */
export function judgeWatches({ watches, truth }: History, freshness: (atMs: number) => number = () => 0): Violation[] {
  const views = truth ? viewsOf(truth) : undefined;
  return watches.flatMap((stream) => {
    const broken: Violation[] = [];
    const report = (property: WatchProperty, message: string): void =>
      void broken.push({ property, message: `${describeStream(stream)}: ${message}` });
    if (!truth || !views) {
      judgeSequence(stream.events, report);
      return broken;
    }
    const expected = views(stream);
    const start = startOf(stream, expected, truth, freshness(stream.openedMs), report);
    if (!start) return broken;
    const following = stream.events.slice(start.initial);
    judgeSequence(following, report);
    judgeAgainst(following, { expected, after: start.revision, truth }, report);
    return broken;
  });
}

type Report = (property: WatchProperty, message: string) => void;

function viewsOf(truth: Truth): (stream: WatchStream) => readonly ExpectedEvent[] {
  const reader = new ObjectReader();
  const views = new Map<string, readonly ExpectedEvent[]>();
  return ({ request: { namespace, selection } }) => {
    const name = JSON.stringify([namespace, selection]);
    let view = views.get(name);
    if (!view) views.set(name, (view = expectedEvents(truth, namespace, selection, reader)));
    return view;
  };
}

interface Start {
  /** What was shown at first is the state at this revision; changes after it follow. */
  readonly revision: number;
  /** How many events that took. */
  readonly initial: number;
}

/** Undefined when there is nothing more to judge. */
function startOf(
  { request, events }: WatchStream,
  expected: readonly ExpectedEvent[],
  truth: Truth,
  fresh: number,
  report: Report,
): Start | undefined {
  if (!request.initial) {
    const first = events.find(isShown);
    // Who named no revision began at one of the server's choice: just before its first event, at the latest.
    return { revision: request.revision ?? (first ? first.revision - 1 : truth.head), initial: 0 };
  }
  const wanted = request.revision ?? fresh;
  const end = events.findIndex((event) => event.type === "BOOKMARK" && event.endsInitial);
  if (end >= 0) {
    const { revision } = events[end] as Bookmark;
    const difference = initialDifference(events.slice(0, end).filter(isShown), stateAt(expected, revision));
    if (difference) report("InitialState", `at revision ${revision}: ${difference}`);
    if (revision < wanted) report("InitialState", `is of revision ${revision}, but ${wanted} was asked for or known`);
    return difference ? undefined : { revision, initial: end };
  }
  const shown = events.filter(isShown);
  const bookmark = events.findIndex(({ type }) => type === "BOOKMARK");
  const most = bookmark < 0 ? shown.length : bookmark;
  const start = inferredStart(shown, most, expected, wanted);
  if (start) return start;
  // A stream that broke off among its initial events is the beginning of a state that nobody can name.
  if (shown.every(({ type }) => type === "ADDED")) return undefined;
  report("InitialState", "what is shown first is the state at no revision that is new enough");
  return undefined;
}

/** The newest revision whose state is what the stream begins with (at most `most` events), and from which the rest can follow. */
function inferredStart(
  shown: readonly Shown[],
  most: number,
  expected: readonly ExpectedEvent[],
  least: number,
): Start | undefined {
  const state = new Map<string, ExpectedEvent>();
  let found: Start | undefined;
  for (let i = 0; i <= expected.length; i++) {
    const next = expected[i];
    const until = next ? next.revision - 1 : Number.MAX_SAFE_INTEGER;
    const isWhole = i === 0 || next === undefined || next.revision !== expected[i - 1]?.revision;
    if (isWhole && until >= least && state.size <= most) {
      const revision = Math.max(least, expected[i - 1]?.revision ?? 0);
      const first = shown[state.size];
      const follows = first === undefined || (next !== undefined && first.revision === next.revision);
      if (follows && !initialDifference(shown.slice(0, state.size), state)) found = { revision, initial: state.size };
    }
    if (!next) break;
    if (next.type === "DELETED") state.delete(next.key);
    else state.set(next.key, next);
  }
  return found;
}

function stateAt(expected: readonly ExpectedEvent[], revision: number): Map<string, ExpectedEvent> {
  const state = new Map<string, ExpectedEvent>();
  for (const event of expected) {
    if (event.revision > revision) break;
    if (event.type === "DELETED") state.delete(event.key);
    else state.set(event.key, event);
  }
  return state;
}

function initialDifference(shown: readonly Shown[], state: ReadonlyMap<string, ExpectedEvent>): string | undefined {
  const keys = new Set<string>();
  for (const { type, key, revision, object } of shown) {
    const there = state.get(key);
    if (type !== "ADDED") return `${key} is ${type} among the initial events`;
    if (!there) return `${key} does not exist then, or is not matched`;
    if (there.revision !== revision) return `${key} is of revision ${revision}, not ${there.revision}`;
    if (there.object !== object) return `${key} is not as the store has it`;
    if (keys.has(key)) return `${key} comes twice`;
    keys.add(key);
  }
  const missing = [...state.keys()].find((key) => !keys.has(key));
  return missing === undefined ? undefined : `${missing} is missing`;
}

/** What the order of the events alone shows. */
function judgeSequence(events: readonly WatchEvent[], report: Report): void {
  let last = 0;
  let bookmark = 0;
  const seen = new Set<string>();
  for (const event of events) {
    if (event.type === "ERROR") continue;
    if (event.type === "BOOKMARK") {
      if (event.revision < Math.max(bookmark, last))
        report("Ordered", `a bookmark of ${event.revision} after revision ${Math.max(bookmark, last)}`);
      bookmark = Math.max(bookmark, event.revision);
      continue;
    }
    const what = `${event.type} ${event.key} of revision ${event.revision}`;
    if (event.revision < last) report("Ordered", `${what} after revision ${last}`);
    if (seen.has(nameOf(event))) report("Unique", `${what} comes twice`);
    if (event.revision <= bookmark) report("Bookmarkable", `${what} after a bookmark of ${bookmark}`);
    seen.add(nameOf(event));
    last = Math.max(last, event.revision);
  }
}

interface Script {
  readonly expected: readonly ExpectedEvent[];
  /** Only what is later than this revision belongs to the stream. */
  readonly after: number;
  readonly truth: Truth;
}

function judgeAgainst(events: readonly WatchEvent[], script: Script, report: Report): void {
  const { expected, after, truth } = script;
  const byName = new Map(expected.map((event) => [nameOf(event), event]));
  for (const event of events.filter(isShown)) judgeEvent(event, byName.get(nameOf(event)), script, report);
  const delivered = new Set(events.filter(isShown).map(nameOf));
  const bookmarks = events.filter((event) => event.type === "BOOKMARK").map(({ revision }) => revision);
  const ahead = bookmarks.find((revision) => revision > truth.head);
  if (ahead !== undefined) report("Bookmarkable", `a bookmark of ${ahead}, but the store is at ${truth.head}`);
  judgeBookmarks(events, script, report);
  const revisions = events.filter(isShown).map(({ revision }) => revision);
  if (revisions.length === 0) return;
  const [first, last] = [revisions[0] as number, revisions.reduce((one, other) => Math.max(one, other))];
  for (const event of expected) {
    if (event.revision <= after || event.revision > last || delivered.has(nameOf(event))) continue;
    const missing = `${event.type} ${event.key} of revision ${event.revision} is missing`;
    if (event.revision < first) report("Resumable", `${missing}: the stream begins with ${first}`);
    else if (revisions.includes(event.revision)) report("Atomic", `${missing}, others of its revision came`);
    else report("Reliable", `${missing}, though ${last} came`);
  }
}

/** All up to a bookmark must have come before it. */
function judgeBookmarks(events: readonly WatchEvent[], { expected, after }: Script, report: Report): void {
  const delivered = new Set<string>();
  let next = expected.findIndex(({ revision }) => revision > after);
  for (const event of events) {
    if (isShown(event)) delivered.add(nameOf(event));
    if (event.type !== "BOOKMARK" || next < 0) continue;
    for (let due = expected[next]; due && due.revision <= event.revision; due = expected[++next])
      if (!delivered.has(nameOf(due)))
        report(
          "Bookmarkable",
          `a bookmark of ${event.revision} before ${due.type} ${due.key} of revision ${due.revision}`,
        );
  }
}

function judgeEvent(event: Shown, should: ExpectedEvent | undefined, { after, truth }: Script, report: Report): void {
  const what = `${event.type} ${event.key} of revision ${event.revision}`;
  if (!should) {
    const happened = truth.changes.some((change) => nameOf(change) === nameOf(event));
    if (happened) report("Filter", `${what} is nothing that the selection sees`);
    else report("Reliable", `${what} never happened`);
    return;
  }
  if (event.revision <= after) {
    report("Resumable", `${what}: the stream begins after ${after}`);
    return;
  }
  if (event.type !== should.type) {
    const isAboutLeaving = event.type === "DELETED" || should.type === "DELETED";
    report(isAboutLeaving ? "Filter" : "IsCreate", `${what} should be ${should.type}`);
  } else if (event.object !== should.object) {
    report(event.type === "DELETED" ? "PreviousObject" : "Reliable", `${what} is not as the store has it`);
  }
}

function isShown(event: WatchEvent): event is Shown {
  return event.type !== "BOOKMARK" && event.type !== "ERROR";
}

function nameOf({ revision, key }: { readonly revision: number; readonly key: string }): string {
  return `${revision} ${key}`;
}
