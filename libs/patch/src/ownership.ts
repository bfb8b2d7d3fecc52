/** Who owns which field of an object: recorded on every update, merged and fought over on server-side apply. */
import { isJsonObject, type JsonObject, type StructureSchema } from "@pilothouse/api";
import { badRequest, StatusError, type StatusCause } from "@pilothouse/errors";
import {
  difference,
  differenceBelow,
  fieldSetOf,
  intersection,
  NO_FIELDS,
  pathsOf,
  union,
  type FieldSet,
} from "./field-set.ts";
import { own } from "./json.ts";
import {
  capUpdaters,
  decodeManagers,
  encodeManagers,
  identifierOf,
  mapFields,
  NO_MANAGERS,
  type ManagedFieldsEntry,
  type Manager,
  type Managers,
} from "./managers.ts";
import { rootType, type TypeRef } from "./shape.ts";
import { compare, faults, fieldsOf, merge, remove, withParents, type Comparison } from "./structured.ts";

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

export interface Applied {
  /** With its new managedFields. */
  readonly object: Record<string, unknown>;
  readonly managedFields: ManagedFieldsEntry[];
  /** False if the object, managedFields aside, is what it was. */
  readonly changed: boolean;
}

/** Fields that nobody owns. */
const UNOWNED: FieldSet = fieldSetOf(
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

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";
const MAX_ANNOTATION_BYTES = 256 * 1024;

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
  const entries = entriesBefore(live, next, write);
  const managers = decodeManagers(entries) ?? NO_MANAGERS;
  if (managers.size === 0 && live !== undefined) return undefined;
  const change = comparison(live ?? {}, next, write);
  if (isNoChange(change)) return entries.length === 0 ? undefined : [...entries];
  const owners = recordUpdate(managers, change, write);
  return owners.size === 0 ? undefined : encodeManagers(capUpdaters(owners));
}

/**
 * Server-side apply: `live` with what `applied` says, and without what this manager applied before, says no more and
 * nobody else owns.
 *
 * @param live undefined for a create
 * @throws StatusError 409 naming every field that another manager owns with another value, unless `force`; 400 if the
 *   configuration does not fit the schema
 */
export function applyConfiguration(
  live: JsonObject | undefined,
  applied: JsonObject,
  write: Write & { readonly force: boolean },
): Applied {
  checkConfiguration(applied, write);
  const managers = managersBeforeApply(live, write);
  const merged = mergeAndPrune(live ?? {}, applied, managers, write);
  const change = comparison(live ?? {}, merged.object, write);
  const force = write.force || isAllowedByLastApplied(live, merged, change, write);
  if (!force) refuseConflicts(conflictsWith(merged, change));
  const owners = mapFields(merged.managers, (fields, id) =>
    id === merged.id
      ? difference(differenceBelow(fields, write.resetFields ?? NO_FIELDS), UNOWNED)
      : withoutChanged(fields, change),
  );
  const changed = live === undefined || !isNoChange(change);
  const mine = owners.get(merged.id);
  if (mine && changed) owners.set(merged.id, { ...mine, time: write.time });
  const managedFields = encodeManagers(owners);
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

function mergeAndPrune(live: JsonObject, applied: JsonObject, before: Managers, write: Write): Merged {
  const type = rootType(write.structure);
  const manager = managerOf(write, "Apply", fieldsOf(applied, type));
  const id = identifierOf(manager);
  const last = before.get(id);
  const managers = new Map(before).set(id, { ...manager, time: last?.time });
  const merged = merge(withoutManagedFields(live), applied, type) as JsonObject;
  return { object: last ? prune(merged, last.fields, managers, type) : merged, id, managers };
}

/** Takes away what was applied last time and is owned by nobody now; nothing else, however deep it lies. */
function prune(merged: JsonObject, lastApplied: FieldSet, managers: Managers, type: TypeRef): JsonObject {
  const last = withParents(lastApplied, type);
  const owned = [...managers.values()].map(({ fields }) => fields).reduce(union, NO_FIELDS);
  const all = withParents(fieldsOf(merged, type), type);
  const without = (fields: FieldSet): JsonObject => (remove(merged, fields, type) ?? {}) as JsonObject;
  const fieldsLeft = (object: JsonObject): FieldSet => withParents(fieldsOf(object, type), type);
  const withOwned = without(difference(all, union(fieldsLeft(without(last)), withParents(owned, type))));
  return without(intersection(difference(all, fieldsLeft(withOwned)), last));
}

function recordUpdate(managers: Managers, change: Comparison, write: Write): Managers {
  const owners = mapFields(managers, (fields) => withoutChanged(fields, change));
  const taken = difference(change.changed, UNOWNED);
  if (taken.size === 0) return owners;
  const manager = managerOf(write, "Update", taken);
  const id = identifierOf(manager);
  const previous = owners.get(id);
  return owners.set(id, previous ? { ...manager, fields: union(taken, previous.fields) } : manager);
}

function withoutChanged(fields: FieldSet, { changed, removed }: Comparison): FieldSet {
  return difference(difference(fields, changed), removed);
}

function comparison(before: JsonObject, after: JsonObject, write: Write): Comparison {
  const type = rootType(write.structure);
  const { changed, removed } = compare(withoutManagedFields(before), withoutManagedFields(after), type);
  const reset = write.resetFields ?? NO_FIELDS;
  return { changed: differenceBelow(changed, reset), removed: differenceBelow(removed, reset) };
}

function isNoChange({ changed, removed }: Comparison): boolean {
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

/** An object that nobody tracked yet is owned, as it is, by `before-first-apply`. */
function managersBeforeApply(live: JsonObject | undefined, write: Write): Managers {
  const managers = decodeManagers(entriesOf(live) ?? []) ?? NO_MANAGERS;
  if (managers.size > 0 || live === undefined) return managers;
  const change = comparison({}, live, write);
  return recordUpdate(managers, change, { ...write, manager: "before-first-apply" });
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
  throw badRequest(`failed to create typed patch object (${describe(applied)}): ${fault}`);
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

interface Conflict {
  readonly id: string;
  readonly manager: Manager;
  readonly path: string;
}

function conflictsWith({ id, managers }: Merged, change: Comparison): readonly Conflict[] {
  return [...managers]
    .filter(([other]) => other !== id)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([other, manager]) =>
      pathsOf(intersection(manager.fields, change.changed)).map((path) => ({ id: other, manager, path })),
    );
}

function refuseConflicts(conflicts: readonly Conflict[]): void {
  if (conflicts.length === 0) return;
  const causes: StatusCause[] = conflicts.map(({ manager, path }) => ({
    reason: "FieldManagerConflict",
    message: `conflict with ${printManager(manager)}`,
    field: path,
  }));
  throw new StatusError(409, "Conflict", conflictText(conflicts), { causes });
}

function conflictText(conflicts: readonly Conflict[]): string {
  const [first] = conflicts;
  if (conflicts.length === 1 && first)
    return `Apply failed with 1 conflict: conflict with ${printManager(first.manager)}: ${first.path}`;
  const lines = [...Map.groupBy(conflicts, ({ id }) => id).values()].flatMap((group) => [
    `conflicts with ${printManager((group[0] as Conflict).manager)}:`,
    ...group.map(({ path }) => `- ${path}`),
  ]);
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join("\n")}`;
}

/** `"kubectl" with subresource "scale" using apps/v1` */
function printManager({ name, operation, apiVersion, subresource }: Manager): string {
  const who =
    subresource === undefined ? JSON.stringify(name) : `${JSON.stringify(name)} with subresource "${subresource}"`;
  return operation === "Update" ? `${who} using ${apiVersion}` : who;
}

/**
 * `kubectl apply --server-side` over an object of client-side apply takes over, without a fight, what the annotation
 * says was applied and nobody has changed since.
 */
function isAllowedByLastApplied(
  live: JsonObject | undefined,
  { id, managers }: Merged,
  change: Comparison,
  write: Write,
): boolean {
  const annotation = live && lastAppliedOf(live);
  if (write.manager !== "kubectl" || annotation === undefined) return false;
  const lastApplied = parsedObject(annotation);
  if (!lastApplied) return false;
  const type = rootType(write.structure);
  const since = compare(lastApplied, live, type);
  const unchanged = withoutChanged(fieldsOf(lastApplied, type), since);
  return [...managers].every(
    ([other, { fields }]) => other === id || difference(intersection(fields, change.changed), unchanged).size === 0,
  );
}

/** Keeps the annotation of client-side apply true, for those who will go back to it. */
function withLastApplied(
  object: JsonObject,
  live: JsonObject | undefined,
  applied: JsonObject,
  write: Write,
): JsonObject {
  if (write.manager !== "kubectl" || !live || lastAppliedOf(live) === undefined) return object;
  const { [LAST_APPLIED]: _, ...appliedAnnotations } = annotationsOf(applied);
  const appliedMetadata = own(applied, "metadata") as JsonObject;
  const value = `${JSON.stringify({ ...applied, metadata: { ...appliedMetadata, annotations: appliedAnnotations } })}\n`;
  const { [LAST_APPLIED]: __, ...others } = annotationsOf(object);
  const annotations = Buffer.byteLength(value) > MAX_ANNOTATION_BYTES ? others : { ...others, [LAST_APPLIED]: value };
  return { ...object, metadata: { ...(own(object, "metadata") as JsonObject), annotations } };
}

function lastAppliedOf(object: JsonObject): string | undefined {
  const value = annotationsOf(object)[LAST_APPLIED];
  return typeof value === "string" ? value : undefined;
}

function annotationsOf(object: JsonObject): JsonObject {
  const metadata = own(object, "metadata");
  const annotations = isJsonObject(metadata) ? own(metadata, "annotations") : undefined;
  return isJsonObject(annotations) ? annotations : {};
}

function parsedObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function managerOf(write: Write, operation: "Apply" | "Update", fields: FieldSet): Manager {
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
function entriesOf(object: JsonObject | undefined): readonly ManagedFieldsEntry[] | undefined {
  const metadata = object && own(object, "metadata");
  const entries = isJsonObject(metadata) ? own(metadata, "managedFields") : undefined;
  return Array.isArray(entries) && entries.every(isJsonObject) ? entries : undefined;
}

function withoutManagedFields(object: JsonObject): JsonObject {
  const metadata = own(object, "metadata");
  if (!isJsonObject(metadata) || !Object.hasOwn(metadata, "managedFields")) return object;
  const { managedFields: _, ...rest } = metadata;
  return { ...object, metadata: rest };
}

function withManagedFields(object: JsonObject, managedFields: ManagedFieldsEntry[]): Record<string, unknown> {
  const metadata = own(object, "metadata");
  const rest = isJsonObject(metadata) ? metadata : {};
  return { ...object, metadata: { ...rest, managedFields } };
}
