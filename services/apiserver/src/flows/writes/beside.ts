/** A second object changed in the transaction of a first one, provided that it is still as it was read: charges and budgets. */
import type { Ids } from "@pilothouse/clock";
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import type { TraceContext } from "@pilothouse/telemetry";
import { storeKey, type WriteCause } from "../../core/model.ts";
import { encodeObject, storedValue } from "../../core/stored/stored.ts";

export type Alongside = NonNullable<WriteCause["alongside"]>;

/** @param next undefined: it only must still be as it was read */
export type Beside = (kind: KindDefinition, read: object, next: object | undefined, trace: TraceContext) => Alongside;

/** `rvBase`: what a resourceVersion is ahead of the store's revision (C8). */
export function createBeside(ids: Ids, rvBase: number): Beside {
  return (kind, read, next, trace) => {
    const { metadata } = read as ApiObject;
    const key = keyBeside(kind, read);
    const value = next && storedValue(encodeObject(next as ApiObject), ids.uuid(), trace);
    return {
      compares: [{ key, target: "modRevision", equals: Number(metadata.resourceVersion ?? "0") - rvBase }],
      ops: value ? [{ op: "put", key, value }] : [],
    };
  };
}

/** The key that a lost race names (`AlongsideRefused`). */
export function keyBeside(kind: KindDefinition, object: object): string {
  const { namespace = "", name = "" } = (object as ApiObject).metadata;
  return storeKey(kind, namespace, name);
}

/** What several parts want in the transaction of one write. */
export function together(...parts: readonly (Alongside | undefined)[]): Alongside | undefined {
  const wanted = parts.filter((part) => part !== undefined);
  if (wanted.length === 0) return undefined;
  return { compares: wanted.flatMap(({ compares }) => compares), ops: wanted.flatMap(({ ops }) => ops) };
}
