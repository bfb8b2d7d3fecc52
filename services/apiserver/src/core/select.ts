/** The selectors of a request as one predicate on cached entries: nothing is parsed to be judged. */
import {
  matchesFields,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
  requiredFieldValue,
  requireSupportedFields,
  selectsEverything,
} from "@pilothouse/selectors";
import { storedKindOf, type KindDefinition } from "@pilothouse/kinds/kind";
import type { CacheChange, CacheEntry } from "./model.ts";
import { canonical } from "./wire.ts";

export interface Selection {
  /** True when no selector was given: then counts of the store are counts of the selection. */
  readonly everything: boolean;
  /** The only name that can match, when the field selector or the path says so. */
  readonly name: string | undefined;
  matches(entry: Selectable): boolean;
}

type Selectable = Pick<CacheEntry, "name" | "labels" | "fields">;

/**
 * `pathName`: a name that stands in the path (watches of one object).
 *
 * @throws StatusError 400 with upstream's texts
 */
export function selectionOf(kind: KindDefinition, query: URLSearchParams, pathName = ""): Selection {
  const labels = parseLabelSelector(query.get("labelSelector") ?? "");
  const asked = parseFieldSelector(query.get("fieldSelector") ?? "");
  requireSupportedFields(asked, selectableFieldNames(kind));
  const names = kind.view?.selectableFields ?? {};
  const fields = asked.map((one) => ({ ...one, field: names[one.field] ?? one.field }));
  const name = pathName || requiredFieldValue(fields, "metadata.name");
  return {
    everything: selectsEverything(labels) && fields.length === 0 && pathName === "",
    name,
    matches: (entry) =>
      (pathName === "" || entry.name === pathName) &&
      matchesLabels(labels, entry.labels) &&
      matchesFields(fields, entry.fields),
  };
}

/** What a change is to a watcher that sees only what its selection matches. */
export interface SeenChange {
  readonly type: CacheChange["type"];
  /** `left`: the object as it last matched, at the revision of the change by which it stopped. */
  readonly shows: "entry" | "left";
}

/** Undefined: the watcher sees nothing of it. */
export function seenChange(change: CacheChange, matches: (entry: Selectable) => boolean): SeenChange | undefined {
  const before = change.previous !== undefined && matches(change.previous);
  if (change.type === "DELETED") return before ? { type: "DELETED", shows: "entry" } : undefined;
  const now = matches(change.entry);
  if (now) return { type: before ? "MODIFIED" : "ADDED", shows: "entry" };
  return before ? { type: "DELETED", shows: "left" } : undefined;
}

/** The fields besides name and namespace; undefined for kinds that add none. A kind names the same for every object. */
function selectableFieldNames(kind: KindDefinition): readonly string[] | undefined {
  if (kind.view?.selectableFields) return Object.keys(kind.view.selectableFields);
  // Canonical, for a kind may count on structures that every object of it has (an event's involvedObject).
  const stored = storedKindOf(kind);
  const fields = stored.selectableFields?.({ spec: {}, status: {}, ...canonical({ metadata: {} }, stored) });
  return fields && Object.keys(fields);
}
