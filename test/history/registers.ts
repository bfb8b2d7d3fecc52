/** Judges each object of a history as a register of its own: the property `Linearizable`. */
import { counterexample } from "./counterexample.ts";
import { describeOperation } from "./describe.ts";
import { MARK, type History, type List, type Operation, type Version } from "./history.ts";
import { linearize, type Interval } from "./linearizability.ts";
import { registerModel, type Register } from "./register.ts";
import { ObjectReader } from "./truth.ts";
import type { Violation } from "./violation.ts";

/** A key that no operation of the history has created may have been there before. */
export function judgeRegisters(history: History, initial: Register = "absent"): Violation[] {
  const violations: Violation[] = [];
  for (const [key, intervals] of intervalsByKey(history)) {
    const { verdict } = linearize(registerModel(initial), intervals);
    if (verdict === "linearizable") continue;
    if (verdict === "undecided") {
      violations.push({ property: "Undecided", message: `${key}: ${intervals.length} operations, no verdict` });
      continue;
    }
    const smallest = counterexample(initial, intervals);
    const lines = smallest.intervals.map(({ operation, answeredMs }) =>
      describeOperation({ ...operation, answeredMs }),
    );
    const start = smallest.initial === "anything" ? "whatever it was before" : "from nothing";
    violations.push({
      property: "Linearizable",
      message: `no order of these explains their answers, ${start}:\n    ${lines.join("\n    ")}`,
    });
  }
  return violations;
}

/** What the search gets: calls whose outcome tells something, with what is known meanwhile about those that were unknown. */
export function intervalsByKey(history: History): Map<string, Interval<Operation>[]> {
  const seen = versionsByMark(history);
  const byKey = new Map<string, Interval<Operation>[]>();
  const add = (operation: Operation, rest: Partial<Interval<Operation>> = {}): void => {
    const { invokedMs, answeredMs } = operation;
    const intervals = byKey.get(operation.key) ?? [];
    byKey.set(operation.key, intervals);
    intervals.push({ operation, invokedMs, answeredMs, ...rest });
  };
  for (const operation of history.operations) {
    const { outcome, request } = operation;
    if (outcome.result === "done") {
      add(operation, request.verb === "delete" ? {} : { hint: outcome.version?.revision ?? 0 });
    } else if (outcome.result === "refused") {
      if (tellsOfState(operation, outcome.code)) add(operation);
    } else if (request.verb === "delete") add(operation, { optional: true });
    else if (request.verb !== "get") {
      const version = seen.get(request.fields[MARK] ?? "");
      if (version) {
        const outcome = { result: "done", version } as const;
        add({ ...operation, outcome }, { answeredMs: Number.POSITIVE_INFINITY, hint: version.revision });
        // The truth lacks nothing: what is not in it has not happened.
      } else if (!history.truth) add(operation, { optional: true });
    }
  }
  const keys = [...byKey.keys()];
  for (const list of history.lists) for (const read of readsOf(list, keys)) add(read);
  return byKey;
}

/** A refusal that says how the object was, unlike a lost race, a full queue or a bad request. */
function tellsOfState({ request }: Operation, code: number): boolean {
  if (code === 404) return request.verb !== "create";
  return code === 409 && (request.verb === "create" || "revision" in request || "uid" in request);
}

function versionsByMark({ operations, lists, truth }: History): Map<string, Version> {
  const seen = new Map<string, Version>();
  const note = (version: Version): void => {
    const mark = version.fields[MARK];
    if (mark !== undefined && !seen.has(mark)) seen.set(mark, version);
  };
  for (const { outcome } of operations) if (outcome.result === "done" && outcome.version) note(outcome.version);
  for (const { items } of lists) Object.values(items).forEach(note);
  const reader = new ObjectReader();
  for (const { object, revision } of truth?.changes ?? [])
    if (object !== undefined) note(reader.version(object, revision));
  return seen;
}

/** A consistent list reads every object of its namespace while its first page is made; what others write is not judged. */
function readsOf({ id, client, server, namespace, items, ...list }: List, keys: readonly string[]): Operation[] {
  const { invokedMs, answeredMs } = list;
  const ofNamespace = keys.filter((key) => key.startsWith(`${namespace}/`));
  return ofNamespace.map((key) => {
    const version = items[key];
    const outcome: Operation["outcome"] = version
      ? { result: "done", version }
      : { result: "refused", code: 404, reason: "not in the list" };
    return { id, client: `${client} (list)`, server, key, request: { verb: "get" }, invokedMs, answeredMs, outcome };
  });
}
