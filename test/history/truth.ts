/** The store's own history, and what a watcher with a selection should have seen of it. */
import type { Change, Fields, Selection, Truth, Version } from "./history.ts";

/** An event as it should be. */
export interface ExpectedEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly key: string;
  readonly revision: number;
  /** For DELETED the last that the selection matched. */
  readonly object: string;
}

interface ParsedObject {
  readonly metadata: {
    readonly name?: string;
    readonly uid?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
}

/** Texts come again and again: each is parsed once. */
export class ObjectReader {
  readonly #parsed = new Map<string, ParsedObject>();

  parse(text: string): ParsedObject {
    let object = this.#parsed.get(text);
    if (!object) this.#parsed.set(text, (object = JSON.parse(text) as ParsedObject));
    return object;
  }

  version(text: string, revision: number): Version {
    const object = this.parse(text);
    return { uid: object.metadata.uid ?? "", revision, fields: fieldsOf(object) };
  }

  matches(text: string, selection: Selection): boolean {
    const { labels, name } = this.parse(text).metadata;
    if (selection.name !== undefined && name !== selection.name) return false;
    return Object.entries(selection.labels ?? {}).every(([label, value]) => labels?.[label] === value);
  }
}

export function fieldsOf({ metadata, data }: ParsedObject): Fields {
  const prefixed = (prefix: string, values: Readonly<Record<string, string>> = {}): [string, string][] =>
    Object.entries(values).map(([name, value]) => [`${prefix}.${name}`, value]);
  return Object.fromEntries([...prefixed("data", data), ...prefixed("labels", metadata.labels)]);
}

/** All events that a watcher of the namespace with this selection sees from the beginning of time, in order. */
export function expectedEvents(
  { changes }: Truth,
  namespace: string,
  selection: Selection,
  reader: ObjectReader,
): ExpectedEvent[] {
  const matching = new Map<string, string>();
  const events: ExpectedEvent[] = [];
  for (const { key, revision, object } of changes) {
    if (!key.startsWith(`${namespace}/`)) continue;
    const before = matching.get(key);
    if (object !== undefined && reader.matches(object, selection)) {
      matching.set(key, object);
      events.push({ type: before === undefined ? "ADDED" : "MODIFIED", key, revision, object });
    } else if (before !== undefined) {
      matching.delete(key);
      events.push({ type: "DELETED", key, revision, object: before });
    }
  }
  return events;
}

/** The state of a namespace at each revision of its history, oldest first; the same map each time, changed in place. */
export function* states(
  changes: readonly Change[],
  namespace: string,
): Generator<{ readonly revision: number; readonly objects: ReadonlyMap<string, Change> }> {
  const objects = new Map<string, Change>();
  yield { revision: 0, objects };
  for (const [i, change] of changes.entries()) {
    if (change.key.startsWith(`${namespace}/`)) {
      if (change.object === undefined) objects.delete(change.key);
      else objects.set(change.key, change);
    }
    if (changes[i + 1]?.revision !== change.revision) yield { revision: change.revision, objects };
  }
}
