import type { Steps } from "@pilothouse/api/steps";
import type { ManagedFieldsEntry } from "@pilothouse/api/types/meta-v1";
import { fromFieldsV1, NO_FIELDS, toFieldsV1InSteps, union, type FieldSet } from "./field-set.ts";

/** Who owns which fields. */
export interface Manager {
  readonly name: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly subresource: string | undefined;
  readonly time: string | undefined;
  readonly fields: FieldSet;
}

/** By identifier. An applier is the same at every version; an updater is another one at each. */
export type Managers = ReadonlyMap<string, Manager>;

export const NO_MANAGERS: Managers = new Map();

/** Upstream's cap on entries that updates have made. */
const MAX_UPDATERS = 10;

/** Upstream's identifier, by which managers are also sorted in error texts. */
export function identifierOf({ name, operation, apiVersion, subresource }: Omit<Manager, "time" | "fields">): string {
  return JSON.stringify({
    ...(name === "" ? {} : { manager: name }),
    operation,
    ...(operation === "Apply" ? {} : { apiVersion }),
    ...(subresource === undefined ? {} : { subresource }),
  });
}

/** undefined if an entry is malformed: a client may have written anything. */
export function decodeManagers(entries: readonly ManagedFieldsEntry[]): Managers | undefined {
  const managers = new Map<string, Manager>();
  for (const entry of entries) {
    const fields = fromFieldsV1(entry.fieldsV1 ?? {});
    const isApplyOrUpdate = entry.operation === "Apply" || entry.operation === "Update";
    if (!isApplyOrUpdate || !entry.apiVersion || entry.fieldsType !== "FieldsV1" || !fields) return undefined;
    const manager: Manager = {
      name: entry.manager ?? "",
      operation: entry.operation as "Apply" | "Update",
      apiVersion: entry.apiVersion,
      subresource: entry.subresource || undefined,
      time: entry.time,
      fields,
    };
    managers.set(identifierOf(manager), manager);
  }
  return managers;
}

/** The entries of all managers that own something, in upstream's order: appliers first, then by time and name. */
export function* encodeManagersInSteps(managers: Managers): Steps<ManagedFieldsEntry[]> {
  const key = ({ operation, time, name, apiVersion, subresource }: Manager): readonly (string | number)[] => [
    operation,
    secondsOf(time),
    name,
    apiVersion,
    subresource ?? "",
  ];
  const entries: ManagedFieldsEntry[] = [];
  for (const manager of [...managers.values()].sort((a, b) => compareKeys(key(a), key(b)))) {
    entries.push(yield* encodeManager(manager));
  }
  return entries;
}

function* encodeManager(manager: Manager): Steps<ManagedFieldsEntry> {
  const { name, operation, apiVersion, subresource, time, fields } = manager;
  return {
    ...(name === "" ? {} : { manager: name }),
    operation,
    apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: "FieldsV1",
    fieldsV1: yield* toFieldsV1InSteps(fields),
    ...(subresource === undefined ? {} : { subresource }),
  };
}

/** Changes the fields of every manager; one that then owns nothing is gone. */
export function mapFields(
  managers: Managers,
  change: (fields: FieldSet, id: string) => FieldSet,
): Map<string, Manager> {
  const result = new Map<string, Manager>();
  for (const [id, manager] of managers) {
    const fields = change(manager.fields, id);
    if (fields.size > 0) result.set(id, fields === manager.fields ? manager : { ...manager, fields });
  }
  return result;
}

/** Merges the oldest updaters of a version into one named `ancient-changes`, until no more than ten are left. */
export function capUpdaters(managers: Managers): Managers {
  const updaters = [...managers].filter(([, { operation }]) => operation === "Update");
  if (updaters.length <= MAX_UPDATERS) return managers;
  updaters.sort(([idA, a], [idB, b]) => compareKeys([secondsOf(a.time), idA], [secondsOf(b.time), idB]));
  const capped = new Map(managers);
  const firstOfVersion = new Map<string, string>();
  let count = updaters.length;
  for (const [id, manager] of updaters) {
    if (count <= MAX_UPDATERS) break;
    const first = firstOfVersion.get(manager.apiVersion);
    if (first === undefined) {
      firstOfVersion.set(manager.apiVersion, id);
      continue;
    }
    const bucket: Manager = { ...manager, name: "ancient-changes", subresource: undefined };
    const bucketId = identifierOf(bucket);
    const older = capped.get(bucketId) ?? capped.get(first);
    capped.delete(first);
    capped.delete(id);
    capped.set(bucketId, { ...bucket, fields: union(manager.fields, older?.fields ?? NO_FIELDS) });
    count--;
  }
  return capped;
}

function secondsOf(time: string | undefined): number {
  const ms = time === undefined ? 0 : Date.parse(time);
  return Number.isNaN(ms) ? 0 : Math.floor(ms / 1000);
}

function compareKeys(a: readonly (string | number)[], b: readonly (string | number)[]): number {
  for (const [i, left] of a.entries()) {
    const right = b[i] as string | number;
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}
