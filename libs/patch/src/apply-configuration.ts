/** Server-side apply. */
import type { ManagedFieldsEntry } from "@pilothouse/api/types/meta-v1";
import { isJsonObject, type JsonObject } from "@pilothouse/api";
import { atOnce, type Steps } from "@pilothouse/api/steps";
import { badRequest, StatusError } from "@pilothouse/errors";
import { refuseConflicts, type Conflict } from "./conflicts.ts";
import { difference, differenceBelow, intersection, NO_FIELDS, pathsOf, union, type FieldSet } from "./field-set.ts";
import { own } from "./json.ts";
import { fieldsLastApplied, withLastApplied } from "./last-applied.ts";
import {
  decodeManagers,
  encodeManagersInSteps,
  identifierOf,
  mapFields,
  NO_MANAGERS,
  type Managers,
} from "./managers.ts";
import {
  comparison,
  entriesOf,
  isNoChange,
  managerOf,
  recordUpdate,
  UNOWNED,
  withoutChanged,
  withoutManagedFields,
  type Write,
} from "./ownership.ts";
import { rootType, type TypeRef } from "./shape.ts";
import { faults, fieldsOf, merge, remove, withParents, type Comparison } from "./structured.ts";

export interface Applied {
  /** With its new managedFields. */
  readonly object: Record<string, unknown>;
  readonly managedFields: ManagedFieldsEntry[];
  /** False if the object, managedFields aside, is what it was. */
  readonly changed: boolean;
}

/**
 * Server-side apply: `live` with what `applied` says, and without what this manager applied before, says no more and
 * nobody else owns.
 *
 * @param live undefined for a create
 * @throws StatusError 409 naming every field that another manager owns with another value, unless `force`; 400 if it is
 *   none, 500 with upstream's text if it does not fit the schema
 */
export function applyConfiguration(
  live: JsonObject | undefined,
  applied: JsonObject,
  write: Write & { readonly force: boolean },
): Applied {
  return atOnce(applyConfigurationInSteps(live, applied, write));
}

/** The same, for large objects. */
export function* applyConfigurationInSteps(
  live: JsonObject | undefined,
  applied: JsonObject,
  write: Write & { readonly force: boolean },
): Steps<Applied> {
  checkConfiguration(applied, write);
  yield;
  const managers = managersBeforeApply(live, write);
  yield;
  const merged = yield* mergeAndPrune(live ?? {}, applied, managers, write);
  yield;
  const change = comparison(live ?? {}, merged.object, write);
  yield;
  if (!write.force) refuseConflicts(conflictsWith(merged, change, fieldsLastApplied(live, write)));
  const owners = mapFields(merged.managers, (fields, id) =>
    id === merged.id
      ? difference(differenceBelow(fields, write.resetFields ?? NO_FIELDS), UNOWNED)
      : withoutChanged(fields, change),
  );
  yield;
  const changed = live === undefined || !isNoChange(change);
  const mine = owners.get(merged.id);
  if (mine && changed) owners.set(merged.id, { ...mine, time: write.time });
  const managedFields = yield* encodeManagersInSteps(owners);
  yield;
  const object = withLastApplied(changed ? merged.object : live, live, applied, write);
  return { object: withManagedFields(object, managedFields), managedFields, changed };
}

interface Merged {
  readonly object: JsonObject;
  /** Of the applying manager. */
  readonly id: string;
  /** With what the applying manager now applies. */
  readonly managers: Managers;
}

function* mergeAndPrune(live: JsonObject, applied: JsonObject, before: Managers, write: Write): Steps<Merged> {
  const type = rootType(write.structure);
  const manager = managerOf(write, "Apply", fieldsOf(applied, type));
  const id = identifierOf(manager);
  const last = before.get(id);
  const managers = new Map(before).set(id, { ...manager, time: last?.time });
  yield;
  const merged = merge(withoutManagedFields(live), applied, type) as JsonObject;
  yield;
  return { object: last ? yield* prune(merged, last.fields, managers, type) : merged, id, managers };
}

/** Takes away what was applied last time and is owned by nobody now; nothing else, however deep it lies. */
function* prune(merged: JsonObject, lastApplied: FieldSet, managers: Managers, type: TypeRef): Steps<JsonObject> {
  const last = withParents(lastApplied, type);
  const owned = [...managers.values()].map(({ fields }) => fields).reduce(union, NO_FIELDS);
  yield;
  const all = withParents(fieldsOf(merged, type), type);
  const without = (fields: FieldSet): JsonObject => (remove(merged, fields, type) ?? {}) as JsonObject;
  const fieldsLeft = (object: JsonObject): FieldSet => withParents(fieldsOf(object, type), type);
  yield;
  const withOwned = without(difference(all, union(fieldsLeft(without(last)), withParents(owned, type))));
  yield;
  return without(intersection(difference(all, fieldsLeft(withOwned)), last));
}

/** An object that nobody tracked yet is owned, as it is, by `before-first-apply`. */
function managersBeforeApply(live: JsonObject | undefined, write: Write): Managers {
  const managers = decodeManagers(entriesOf(live) ?? []) ?? NO_MANAGERS;
  if (managers.size > 0 || live === undefined) return managers;
  const change = comparison({}, live, write);
  return recordUpdate(managers, change, { ...write, manager: "before-first-apply" });
}

/** What others own and this apply changes, without what it may take over. By manager, as upstream sorts them. */
function conflictsWith({ id, managers }: Merged, { changed }: Comparison, mayTake: FieldSet): readonly Conflict[] {
  return [...managers]
    .filter(([other]) => other !== id)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([other, manager]) =>
      pathsOf(difference(intersection(manager.fields, changed), mayTake)).map((path) => ({ id: other, manager, path })),
    );
}

function checkConfiguration(applied: JsonObject, write: Write): void {
  const version = text(own(applied, "apiVersion"));
  if (version !== write.apiVersion)
    throw badRequest(
      `Incorrect version specified in apply patch. Specified patch version: ${version}, expected: ${write.apiVersion}`,
    );
  const metadata = own(applied, "metadata");
  if (isJsonObject(metadata) && (own(metadata, "managedFields") ?? null) !== null)
    throw badRequest("metadata.managedFields must be nil");
  const wrong = faults(applied, rootType(write.structure));
  if (wrong.length === 0) return;
  const fault = wrong.length === 1 ? wrong.join() : `errors:\n${wrong.map((one) => `  ${one}`).join("\n")}`;
  // The client is at fault, but upstream says 500, and tools know the text by that code.
  throw new StatusError(500, "InternalError", `failed to create typed patch object (${describe(applied)}): ${fault}`);
}

/** `default/web; apps/v1, Kind=Deployment` */
function describe(object: JsonObject): string {
  const metadata = own(object, "metadata");
  const meta = isJsonObject(metadata) ? metadata : {};
  const version = text(own(object, "apiVersion"));
  const groupVersion = version.includes("/") ? version : `/${version}`;
  return `${text(own(meta, "namespace"))}/${text(own(meta, "name"))}; ${groupVersion}, Kind=${text(own(object, "kind"))}`;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function withManagedFields(object: JsonObject, managedFields: ManagedFieldsEntry[]): Record<string, unknown> {
  const metadata = own(object, "metadata");
  const rest = isJsonObject(metadata) ? metadata : {};
  return { ...object, metadata: { ...rest, managedFields } };
}
