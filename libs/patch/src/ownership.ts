/** Who owns which field of an object, recorded on every write. */
import type { ManagedFieldsEntry } from "@pilothouse/api/types/meta-v1";
import { isJsonObject, type JsonObject, type StructureSchema } from "@pilothouse/api";
import { atOnce, type Steps } from "@pilothouse/api/steps";
import { difference, differenceBelow, fieldSetOf, NO_FIELDS, union, type FieldSet } from "./field-set.ts";
import { own } from "./json.ts";
import {
  capUpdaters,
  decodeManagers,
  encodeManagersInSteps,
  identifierOf,
  mapFields,
  NO_MANAGERS,
  type Manager,
  type Managers,
} from "./managers.ts";
import { rootType } from "./shape.ts";
import { compare, type Comparison } from "./structured.ts";

/** Who writes, and by what structure the object is seen. */
export interface Write {
  readonly structure: StructureSchema;
  readonly manager: string;
  /** The version that the request is made in, as `apps/v1`. */
  readonly apiVersion: string;
  /** "" or undefined for the resource itself. */
  readonly subresource?: string;
  /** Now, as RFC 3339 in whole seconds. */
  readonly time: string;
  /** Fields that a write of this kind cannot change, such as status by the main resource: never owned by it. */
  readonly resetFields?: FieldSet;
}

/** Fields that nobody owns. */
export const UNOWNED: FieldSet = fieldSetOf(
  ["apiVersion"],
  ["kind"],
  ["metadata"],
  ...["name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation"].map((name) => [
    "metadata",
    name,
  ]),
  ["metadata", "managedFields"],
  ["metadata", "resourceVersion"],
);

/**
 * The managedFields of an object after a create, update or patch: what changed is now this manager's and nobody else's.
 *
 * @param live the object before; undefined for a create
 * @param next the object as it will be stored. Its own managedFields count where the client has changed them: `[]` and
 *   `[{}]` forget all managers.
 * @returns undefined if nobody owns anything or the object is not tracked (its managers were reset): it must then have no
 *   managedFields
 */
export function trackUpdate(
  live: JsonObject | undefined,
  next: JsonObject,
  write: Write,
): ManagedFieldsEntry[] | undefined {
  return atOnce(trackUpdateInSteps(live, next, write));
}

/** The same, for large objects. */
export function* trackUpdateInSteps(
  live: JsonObject | undefined,
  next: JsonObject,
  write: Write,
): Steps<ManagedFieldsEntry[] | undefined> {
  const entries = entriesBefore(live, next, write);
  const managers = decodeManagers(entries) ?? NO_MANAGERS;
  if (managers.size === 0 && live !== undefined) return undefined;
  yield;
  const change = comparison(live ?? {}, next, write);
  if (isNoChange(change)) return entries.length === 0 ? undefined : [...entries];
  yield;
  const owners = recordUpdate(managers, change, write);
  yield;
  return owners.size === 0 ? undefined : yield* encodeManagersInSteps(capUpdaters(owners));
}

export function recordUpdate(managers: Managers, change: Comparison, write: Write): Managers {
  const owners = mapFields(managers, (fields) => withoutChanged(fields, change));
  const taken = difference(change.changed, UNOWNED);
  if (taken.size === 0) return owners;
  const manager = managerOf(write, "Update", taken);
  const id = identifierOf(manager);
  const previous = owners.get(id);
  return owners.set(id, previous ? { ...manager, fields: union(taken, previous.fields) } : manager);
}

export function withoutChanged(fields: FieldSet, { changed, removed }: Comparison): FieldSet {
  return difference(difference(fields, changed), removed);
}

export function comparison(before: JsonObject, after: JsonObject, write: Write): Comparison {
  const type = rootType(write.structure);
  const { changed, removed } = compare(withoutManagedFields(before), withoutManagedFields(after), type);
  const reset = write.resetFields ?? NO_FIELDS;
  return { changed: differenceBelow(changed, reset), removed: differenceBelow(removed, reset) };
}

export function isNoChange({ changed, removed }: Comparison): boolean {
  return changed.size === 0 && removed.size === 0;
}

/** A client that knows nothing of managedFields must not delete them by leaving them out. */
function entriesBefore(live: JsonObject | undefined, next: JsonObject, write: Write): readonly ManagedFieldsEntry[] {
  const current = entriesOf(live) ?? [];
  if (write.subresource) return current;
  const asked = entriesOf(next);
  if (asked === undefined) return current;
  const isReset = asked.length === 0 || (asked.length === 1 && Object.keys(asked[0] ?? {}).length === 0);
  if (isReset) return [];
  return decodeManagers(asked) ? asked : current;
}

export function managerOf(write: Write, operation: "Apply" | "Update", fields: FieldSet): Manager {
  return {
    name: write.manager,
    operation,
    apiVersion: write.apiVersion,
    subresource: write.subresource || undefined,
    time: write.time,
    fields,
  };
}

/** undefined where there is no list at all, which is another thing than an empty one. */
export function entriesOf(object: JsonObject | undefined): readonly ManagedFieldsEntry[] | undefined {
  const metadata = object && own(object, "metadata");
  const entries = isJsonObject(metadata) ? own(metadata, "managedFields") : undefined;
  return Array.isArray(entries) && entries.every(isJsonObject) ? entries : undefined;
}

export function withoutManagedFields(object: JsonObject): JsonObject {
  const metadata = own(object, "metadata");
  if (!isJsonObject(metadata) || !Object.hasOwn(metadata, "managedFields")) return object;
  const { managedFields: _, ...rest } = metadata;
  return { ...object, metadata: rest };
}
