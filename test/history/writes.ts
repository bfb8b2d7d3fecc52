/** Judges writes and lists by their revisions, and by the truth where it is known. */
import { describeOperation, describeVersion } from "./describe.ts";
import { MARK, type Change, type History, type List, type Operation, type Truth } from "./history.ts";
import { ObjectReader, states } from "./truth.ts";
import type { Violation } from "./violation.ts";

export function judgeWrites(history: History): Violation[] {
  const { truth } = history;
  return [
    ...judgeRealTime(history),
    ...(truth
      ? [...judgeDurable(history, truth), ...judgeMarks(history, truth), ...judgeSnapshots(history, truth)]
      : []),
  ];
}

/** The greatest revision of a write that was acknowledged before an instant; 0 for none. */
export function acknowledgedBefore(operations: readonly Operation[]): (atMs: number) => number {
  const highest = runningMaximum(acknowledged(operations));
  return (atMs) => highest(atMs)?.revision ?? 0;
}

/** Something that was acknowledged, or read, at a revision between two instants. */
interface Dated {
  readonly invokedMs: number;
  readonly answeredMs: number;
  readonly revision: number;
  readonly text: string;
}

function judgeRealTime({ operations, lists }: History): Violation[] {
  const writes = acknowledged(operations);
  const highest = runningMaximum(writes);
  const violations: Violation[] = [];
  const expect = (later: Dated, isLaterOk: (before: number) => boolean): void => {
    const before = highest(later.invokedMs);
    if (before && !isLaterOk(before.revision))
      violations.push({ property: "RealTime", message: `${later.text}\n    began after ${before.text}` });
  };
  for (const write of writes) expect(write, (before) => before < write.revision);
  for (const list of lists) expect(datedList(list), (before) => before <= list.revision);
  return violations;
}

function acknowledged(operations: readonly Operation[]): Dated[] {
  return operations.flatMap((operation) => {
    const { outcome, request, invokedMs, answeredMs } = operation;
    if (request.verb === "get" || outcome.result !== "done" || !outcome.version) return [];
    return [{ invokedMs, answeredMs, revision: outcome.version.revision, text: describeOperation(operation) }];
  });
}

function datedList({ client, server, namespace, revision, invokedMs, answeredMs }: List): Dated {
  return {
    invokedMs,
    answeredMs,
    revision,
    text: `list of ${namespace} for ${client} at ${server}: revision ${revision}`,
  };
}

/** Of all that was answered before an instant, what has the greatest revision. */
function runningMaximum(dated: readonly Dated[]): (atMs: number) => Dated | undefined {
  const byAnswer = dated.toSorted((one, other) => one.answeredMs - other.answeredMs);
  const maxima: Dated[] = [];
  for (const each of byAnswer) {
    const before = maxima.at(-1);
    maxima.push(before && before.revision > each.revision ? before : each);
  }
  return (atMs) => {
    let [low, high] = [0, byAnswer.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((byAnswer[middle] as Dated).answeredMs < atMs) low = middle + 1;
      else high = middle;
    }
    return maxima[low - 1];
  };
}

function judgeDurable({ operations }: History, truth: Truth): Violation[] {
  const reader = new ObjectReader();
  const changes = new Map(truth.changes.map((change) => [`${change.revision} ${change.key}`, change]));
  const deletes = truth.changes.filter(({ object }) => object === undefined);
  const highestBefore = acknowledgedBefore(operations);
  const violations: Violation[] = [];
  for (const operation of operations) {
    const { key, request, outcome } = operation;
    if (outcome.result !== "done") continue;
    const broken = (why: string): void =>
      void violations.push({ property: "Durable", message: `${describeOperation(operation)}: ${why}` });
    if (request.verb === "delete") {
      const after = highestBefore(operation.invokedMs);
      if (!deletes.some((change) => change.key === key && change.revision > after))
        broken(`the store holds no delete of it after revision ${after}`);
      continue;
    }
    const { version } = outcome;
    if (!version) continue;
    const object = changes.get(`${version.revision} ${key}`)?.object;
    const stored = object === undefined ? undefined : reader.version(object, version.revision);
    if (!stored) broken("the store never had this revision of it");
    else if (stored.uid !== version.uid || !sameEntries(stored.fields, version.fields))
      broken(`the store has ${JSON.stringify(stored.fields)}, the answer ${JSON.stringify(version.fields)}`);
  }
  return violations;
}

function judgeMarks({ operations }: History, { changes }: Truth): Violation[] {
  const reader = new ObjectReader();
  const askers = new Map<string, Operation>();
  for (const operation of operations) {
    const mark = "fields" in operation.request ? operation.request.fields[MARK] : undefined;
    if (mark !== undefined) askers.set(mark, operation);
  }
  const violations: Violation[] = [];
  const seen = new Map<string, Change>();
  for (const change of changes) {
    if (change.object === undefined) continue;
    const version = reader.version(change.object, change.revision);
    const mark = version.fields[MARK];
    if (mark === undefined) continue;
    const where = `${change.key} ${describeVersion(version)}`;
    const before = seen.get(mark);
    const asker = askers.get(mark);
    if (before) violations.push({ property: "Once", message: `${where}: was written at ${before.revision} already` });
    else if (asker?.key !== change.key) violations.push({ property: "Once", message: `${where}: nobody asked for it` });
    else if (asker.outcome.result === "refused")
      violations.push({ property: "Refused", message: `${where} is in the store: ${describeOperation(asker)}` });
    seen.set(mark, change);
  }
  return violations;
}

function judgeSnapshots({ lists }: History, truth: Truth): Violation[] {
  const violations: Violation[] = [];
  const byNamespace = Map.groupBy(lists, ({ namespace }) => namespace);
  for (const [namespace, ofNamespace] of byNamespace) {
    const pending = ofNamespace.toSorted((one, other) => one.revision - other.revision);
    let state: ReadonlyMap<string, Change> = new Map();
    const judgeUpTo = (revision: number): void => {
      for (let list = pending[0]; list && list.revision < revision; list = pending[0]) {
        pending.shift();
        const difference = differenceOf(list, state);
        if (difference) violations.push({ property: "Snapshot", message: `${datedList(list).text}: ${difference}` });
      }
    };
    for (const { revision, objects } of states(truth.changes, namespace)) {
      judgeUpTo(revision);
      state = new Map(objects);
    }
    judgeUpTo(truth.head + 1);
    for (const list of pending)
      violations.push({ property: "Snapshot", message: `${datedList(list).text}: the store is at ${truth.head}` });
  }
  return violations;
}

function differenceOf({ items }: List, state: ReadonlyMap<string, Change>): string | undefined {
  for (const [key, change] of state) {
    const item = items[key];
    if (!item) return `${key} of revision ${change.revision} is missing`;
    if (item.revision !== change.revision) return `${key} is of revision ${item.revision}, not ${change.revision}`;
  }
  const tooMany = Object.keys(items).find((key) => !state.has(key));
  return tooMany === undefined ? undefined : `${tooMany} does not exist at that revision`;
}

function sameEntries(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}
