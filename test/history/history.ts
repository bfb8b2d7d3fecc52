/**
 * A recorded history: what clients asked and were told and when, what watchers were shown, and what really happened.
 *
 * Instants are milliseconds of one monotonic clock, no two of one history equal, so that "before" needs no tie-break.
 * On disk a history is JSON lines, one record each; the texts of objects, which come again and again, are lines of their own
 * that records name by number.
 */
import { readFile, writeFile } from "node:fs/promises";

export interface History {
  readonly operations: readonly Operation[];
  readonly lists: readonly List[];
  readonly watches: readonly WatchStream[];
  /** Every change of the keys in question, read from the store itself; undefined where nobody did. */
  readonly truth?: Truth;
}

/** What the judges follow of an object: `data.<name>` and `labels.<name>`, flat. */
export type Fields = Readonly<Record<string, string>>;

/** One state of an object, as somebody was shown it. */
export interface Version {
  readonly uid: string;
  readonly revision: number;
  readonly fields: Fields;
}

/** Each recorded write gives this field a value of its own, by which its effect is known wherever it shows. */
export const MARK = "data.mark";

/** One request about one object. */
export interface Operation {
  readonly id: number;
  readonly client: string;
  /** The apiserver that was asked. */
  readonly server: string;
  /** `namespace/name` */
  readonly key: string;
  readonly request: Request;
  readonly invokedMs: number;
  /** When the client had its answer, or gave up. */
  readonly answeredMs: number;
  readonly outcome: Outcome;
}

export type Request =
  | { readonly verb: "create"; readonly fields: Fields }
  /** PUT; the fields replace all others. */
  | { readonly verb: "update"; readonly fields: Fields; readonly revision?: number }
  /** Merge patch; the fields replace those of their names. */
  | { readonly verb: "patch"; readonly fields: Fields }
  | { readonly verb: "delete"; readonly uid?: string; readonly revision?: number }
  /** Consistent: without resourceVersion. */
  | { readonly verb: "get" };

export type Outcome =
  /** A delete shows no version. */
  | { readonly result: "done"; readonly version?: Version }
  /** Surely not done. */
  | { readonly result: "refused"; readonly code: number; readonly reason: string }
  /** Done, or not done, or yet to be done. */
  | { readonly result: "unknown"; readonly why: string };

/** A consistent LIST of a namespace, all of its pages. */
export interface List {
  readonly id: number;
  readonly client: string;
  readonly server: string;
  readonly namespace: string;
  readonly invokedMs: number;
  /** When the first page was there: what it shows was true between these two. */
  readonly answeredMs: number;
  readonly pages: number;
  readonly revision: number;
  /** By key. */
  readonly items: Readonly<Record<string, Version>>;
}

/** One HTTP watch, from its request to its end. */
export interface WatchStream {
  readonly id: number;
  /** One watcher has many streams, one after the other. */
  readonly watcher: string;
  readonly server: string;
  readonly request: WatchRequest;
  readonly openedMs: number;
  readonly endedMs: number;
  readonly events: readonly WatchEvent[];
  /** Who ended it; `broken`: the connection. */
  readonly end: "server" | "client" | "broken";
}

export interface WatchRequest {
  readonly namespace: string;
  /** The resourceVersion; absent: none was named. */
  readonly revision?: number;
  /** Whether what there is comes first, as ADDED: with sendInitialEvents, or without any resourceVersion. */
  readonly initial: boolean;
  readonly selection: Selection;
}

/** Labels that must be equal, and a name. */
export interface Selection {
  readonly labels?: Readonly<Record<string, string>>;
  readonly name?: string;
}

export type WatchEvent =
  | {
      readonly type: "ADDED" | "MODIFIED" | "DELETED";
      readonly atMs: number;
      readonly key: string;
      readonly revision: number;
      /** JSON without resourceVersion, as the store holds it. */
      readonly object: string;
    }
  | { readonly type: "BOOKMARK"; readonly atMs: number; readonly revision: number; readonly endsInitial: boolean }
  | { readonly type: "ERROR"; readonly atMs: number; readonly code: number; readonly message: string };

/** All changes of the keys in question, in order. */
export interface Truth {
  readonly changes: readonly Change[];
  /** The store's revision when it was read: nothing up to it is missing. */
  readonly head: number;
}

export interface Change {
  readonly key: string;
  readonly revision: number;
  /** JSON without resourceVersion; undefined: deleted. */
  readonly object: string | undefined;
}

type Line =
  | { readonly text: string }
  | { readonly operation: Operation }
  | { readonly list: List }
  | { readonly watch: Omit<WatchStream, "events"> & { readonly events: readonly object[] } }
  | { readonly change: { readonly key: string; readonly revision: number; readonly text?: number } }
  | { readonly head: number };

export async function writeHistory(path: string, history: History): Promise<void> {
  await writeFile(path, `${linesOf(history).join("\n")}\n`);
}

export async function readHistory(path: string): Promise<History> {
  return historyOf((await readFile(path, "utf8")).split("\n"));
}

export function linesOf({ operations, lists, watches, truth }: History): string[] {
  const lines: string[] = [];
  const add = (line: Line): void => void lines.push(JSON.stringify(line));
  const numbers = new Map<string, number>();
  const numberOf = (text: string): number => {
    const known = numbers.get(text);
    if (known !== undefined) return known;
    add({ text });
    numbers.set(text, numbers.size);
    return numbers.size - 1;
  };
  for (const operation of operations) add({ operation });
  for (const list of lists) add({ list });
  for (const watch of watches) {
    const events = watch.events.map((event) =>
      "object" in event ? { ...event, object: numberOf(event.object) } : event,
    );
    add({ watch: { ...watch, events } });
  }
  for (const { key, revision, object } of truth?.changes ?? [])
    add({ change: { key, revision, ...(object === undefined ? {} : { text: numberOf(object) }) } });
  if (truth) add({ head: truth.head });
  return lines;
}

export function historyOf(lines: readonly string[]): History {
  const operations: Operation[] = [];
  const lists: List[] = [];
  const watches: WatchStream[] = [];
  const changes: Change[] = [];
  const texts: string[] = [];
  let head: number | undefined;
  for (const text of lines) {
    if (text === "") continue;
    const line = JSON.parse(text) as Line;
    if ("text" in line) texts.push(line.text);
    else if ("operation" in line) operations.push(line.operation);
    else if ("list" in line) lists.push(line.list);
    else if ("watch" in line) watches.push({ ...line.watch, events: line.watch.events.map((e) => withText(e, texts)) });
    else if ("change" in line) {
      const { key, revision, text } = line.change;
      changes.push({ key, revision, object: text === undefined ? undefined : texts[text] });
    } else head = line.head;
  }
  return { operations, lists, watches, ...(head === undefined ? {} : { truth: { changes, head } }) };
}

function withText(event: object, texts: readonly string[]): WatchEvent {
  const object = (event as { readonly object?: number }).object;
  return (object === undefined ? event : { ...event, object: texts[object] }) as WatchEvent;
}
