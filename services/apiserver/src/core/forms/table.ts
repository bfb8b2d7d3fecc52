/** What `kubectl get` prints of a kind: its columns, and the cells of one object. */
import type { ApiObject, KindDefinition } from "@pilothouse/kinds/kind";
import { ageOf } from "@pilothouse/kinds/duration";

export interface TableColumnDefinition {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
}

export function columnDefinitions(kind: KindDefinition): readonly TableColumnDefinition[] {
  const own = (kind.columns ?? []).map(({ name, type, format = "", description, priority }) => ({
    name,
    type,
    format,
    description,
    priority,
  }));
  return [...(kind.nameColumn === false ? [] : [NAME]), ...own, ...(kind.ageColumn === false ? [] : [AGE])];
}

/** `nowMs` for ages. */
export function rowCells(
  kind: KindDefinition,
  object: ApiObject,
  nowMs: number,
): readonly (string | number | boolean)[] {
  const own = (kind.columns ?? []).map(({ cell }) => cell(object, nowMs));
  const name = kind.nameColumn === false ? [] : [object.metadata.name ?? ""];
  return kind.ageColumn === false
    ? [...name, ...own]
    : [...name, ...own, ageOf(object.metadata.creationTimestamp, nowMs)];
}

const NAME: TableColumnDefinition = {
  name: "Name",
  type: "string",
  format: "name",
  description:
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a " +
    "client to request the generation of an appropriate name automatically.",
  priority: 0,
};

const AGE: TableColumnDefinition = {
  name: "Age",
  type: "date",
  format: "",
  description: "CreationTimestamp is a timestamp representing the server time when this object was created.",
  priority: 0,
};
