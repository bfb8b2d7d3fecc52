/** The four things server-side apply does with values by their schema: list their fields, compare, merge, remove. */
import { isJsonObject, type JsonObject } from "@pilothouse/api";
import { fieldElement, fieldSet, LEAF, NO_FIELDS, valueElement, type FieldNode, type FieldSet } from "./field-set.ts";
import { isEmpty, jsonEqual, own, setOwn } from "./json.ts";
import { shapeOf, zeroValue, type ListShape, type MapShape, type TypeRef } from "./shape.ts";

/** All fields that a value sets. */
export function fieldsOf(value: unknown, type: TypeRef): FieldSet {
  return fieldNode(value, type).children;
}

function fieldNode(value: unknown, type: TypeRef): FieldNode {
  const shape = shapeOf(type, isJsonObject(value));
  if (shape.kind === "leaf") return LEAF;
  if (shape.kind === "list") {
    if (!Array.isArray(value)) return { member: value === null, children: NO_FIELDS };
    const nodes = value.map((item): [string, FieldNode] => [
      elementOf(shape, item),
      { member: true, children: fieldNode(item, shape.element).children },
    ]);
    return { member: false, children: fieldSet(nodes) };
  }
  if (!isJsonObject(value)) return { member: value === null, children: NO_FIELDS };
  const nodes = Object.keys(value).map((name): [string, FieldNode] => {
    const node = fieldNode(value[name], childType(shape, name));
    const isMember = node.member || !shape.structure || isEmptyMap(value[name]);
    return [fieldElement(name), { member: isMember, children: node.children }];
  });
  return { member: false, children: fieldSet(nodes) };
}

export interface Comparison {
  /** Added or modified. */
  readonly changed: FieldSet;
  readonly removed: FieldSet;
}

/** What leads from one object to another. Parts that the two share are not looked at. */
export function compare(before: unknown, after: unknown, type: TypeRef): Comparison {
  const { changed, removed } = compareNode(before, after, type);
  return { changed: changed.children, removed: removed.children };
}

interface NodeComparison {
  readonly changed: FieldNode;
  readonly removed: FieldNode;
}

const NOTHING: FieldNode = { member: false, children: NO_FIELDS };
const SAME: NodeComparison = { changed: NOTHING, removed: NOTHING };
const LEAF_CHANGED: NodeComparison = { changed: LEAF, removed: NOTHING };
const LEAF_REMOVED: NodeComparison = { changed: NOTHING, removed: LEAF };

function compareNode(before: unknown, after: unknown, type: TypeRef): NodeComparison {
  if (before === after) return SAME;
  const shape = shapeOf(type, isJsonObject(before) || isJsonObject(after));
  if (shape.kind === "leaf" || (isEmpty(before) && isEmpty(after))) return compareLeaf(before, after);
  const changed = new Map<string, FieldNode>();
  const removed = new Map<string, FieldNode>();
  const children = shape.kind === "list" ? compareLists(before, after, shape) : compareMaps(before, after, shape);
  for (const [element, child] of children) {
    if (holdsSome(child.changed)) changed.set(element, child.changed);
    if (holdsSome(child.removed)) removed.set(element, child.removed);
  }
  return {
    changed: { member: before === undefined, children: changed },
    removed: { member: after === undefined, children: removed },
  };
}

function holdsSome({ member, children }: FieldNode): boolean {
  return member || children.size > 0;
}

function compareLeaf(before: unknown, after: unknown): NodeComparison {
  if (jsonEqual(before, after)) return SAME;
  return after === undefined ? LEAF_REMOVED : LEAF_CHANGED;
}

type Compared = readonly [element: string, comparison: NodeComparison];

function compareMaps(before: unknown, after: unknown, shape: MapShape): readonly Compared[] {
  const a = isJsonObject(before) ? before : undefined;
  const b = isJsonObject(after) ? after : undefined;
  return namesOf(a, b).map((name) => [
    fieldElement(name),
    compareNode(presentValue(a, name, shape), presentValue(b, name, shape), childType(shape, name)),
  ]);
}

/** The names in either, each once. */
function namesOf(a: JsonObject | undefined, b: JsonObject | undefined): readonly string[] {
  if (!a || !b) return Object.keys(a ?? b ?? {});
  return [...new Set([...Object.keys(a), ...Object.keys(b)])];
}

/** A field that Go always writes counts as there in every structure that is there. */
function presentValue(object: JsonObject | undefined, name: string, shape: MapShape): unknown {
  if (!object) return undefined;
  const value = own(object, name);
  const field = shape.structure?.fields.get(name);
  return value === undefined && field ? zeroValue(field) : value;
}

function compareLists(before: unknown, after: unknown, shape: ListShape): readonly Compared[] {
  const a = indexed(before, shape);
  const b = indexed(after, shape);
  return [...new Set([...a.keys(), ...b.keys()])].map((element) => [
    element,
    compareNode(a.get(element)?.[0], b.get(element)?.[0], shape.element),
  ]);
}

/**
 * `live` with all that `applied` says. Lists keep the order of `applied` among what it names, and of `live` otherwise.
 * Result shares what `applied` does not touch.
 */
export function merge(live: unknown, applied: unknown, type: TypeRef): unknown {
  if (applied === undefined || applied === live) return live;
  const shape = shapeOf(type, isJsonObject(live) || isJsonObject(applied));
  if (live === undefined || shape.kind === "leaf" || (isEmpty(live) && isEmpty(applied)))
    return applied === null ? undefined : applied;
  if (applied === null) return live;
  return shape.kind === "list" ? mergeLists(live, applied, shape) : mergeMaps(live, applied, shape);
}

function mergeMaps(live: unknown, applied: unknown, shape: MapShape): unknown {
  if (!isJsonObject(live) || !isJsonObject(applied)) return applied;
  const merged: Record<string, unknown> = { ...live };
  for (const name of Object.keys(applied)) {
    const value = merge(own(live, name), applied[name], childType(shape, name));
    if (value === undefined) delete merged[name];
    else setOwn(merged, name, value);
  }
  return merged;
}

function mergeLists(live: unknown, applied: unknown, shape: ListShape): unknown {
  if (!Array.isArray(live) || !Array.isArray(applied)) return applied;
  const ours = indexed(live, shape);
  const theirs = indexed(applied, shape);
  return mergedOrder([...ours.keys()], [...theirs.keys()]).flatMap((element) => {
    const theirItem = theirs.get(element)?.[0];
    if (theirItem === undefined) return ours.get(element) ?? [];
    return [merge(ours.get(element)?.[0], theirItem, shape.element)];
  });
}

/** Elements of both in the order of `theirs`; what only `ours` has stays behind what it stood behind. */
function mergedOrder(ours: readonly string[], theirs: readonly string[]): readonly string[] {
  const inOurs = new Set(ours);
  const inTheirs = new Set(theirs);
  const shared = theirs.filter((element) => inOurs.has(element));
  const order: string[] = [];
  let next = 0;
  let nextShared = 0;
  const takeOursBefore = (stop: string | undefined): void => {
    for (; next < ours.length && ours[next] !== stop; next++) {
      const element = ours[next] as string;
      if (!inTheirs.has(element)) order.push(element);
    }
  };
  for (const element of theirs) {
    takeOursBefore(shared[nextShared]);
    order.push(element);
    if (element !== shared[nextShared]) continue;
    nextShared++;
    if (ours[next] === element) next++;
  }
  takeOursBefore(undefined);
  return order;
}

/** The value without the fields of the set; undefined if nothing is left. Shares what it leaves alone. */
export function remove(value: unknown, fields: FieldSet, type: TypeRef): unknown {
  if (fields.size === 0) return value;
  const shape = shapeOf(type, isJsonObject(value));
  if (shape.kind === "list" && Array.isArray(value)) {
    const left = value.flatMap((item) => {
      const node = fields.get(elementOf(shape, item));
      if (node?.member) return [];
      return [node ? (remove(item, node.children, shape.element) ?? {}) : item];
    });
    return left.length > 0 ? left : undefined;
  }
  if (shape.kind !== "map" || !isJsonObject(value)) return value;
  const left: Record<string, unknown> = {};
  for (const name of Object.keys(value)) {
    const node = fields.get(fieldElement(name));
    if (node?.member) continue;
    const item = node ? remove(value[name], node.children, childType(shape, name)) : value[name];
    if (item !== undefined) setOwn(left, name, item);
  }
  return Object.keys(left).length > 0 ? left : undefined;
}

/** The set in which every named field on the way to a member is a member too, so that emptied structures go as well. */
export function withParents(fields: FieldSet, type: TypeRef): FieldSet {
  const shape = shapeOf(type, true);
  if (shape.kind === "leaf") return fields;
  return fieldSet(
    [...fields].map(([element, { member, children }]) => {
      const isNamed = shape.kind === "map" && shape.structure !== undefined && children.size > 0;
      const child = shape.kind === "list" ? shape.element : childType(shape, element.slice(2));
      return [element, { member: member || isNamed, children: withParents(children, child) }];
    }),
  );
}

/** What is wrong with an applied configuration, as `.spec.foo: field not declared in schema`. */
export function faults(value: unknown, type: TypeRef, path = ""): readonly string[] {
  if (value === null || value === undefined) return [];
  const shape = shapeOf(type, isJsonObject(value));
  if (shape.kind === "leaf") return leafFaults(value, shape.expects, path);
  if (shape.kind === "map") {
    if (!isJsonObject(value)) return [`${path}: expected map, got &{${printed(value)}}`];
    return Object.keys(value).flatMap((name) => {
      const child = shape.child(name);
      return child ? faults(value[name], child, `${path}.${name}`) : [`${path}.${name}: field not declared in schema`];
    });
  }
  if (!Array.isArray(value)) return [`${path}: expected list, got &{${printed(value)}}`];
  return [
    ...listFaults(value, shape, path),
    ...value.flatMap((item) => faults(item, shape.element, `${path}${place(shape, item)}`)),
  ];
}

function leafFaults(
  value: unknown,
  expects: "string" | "numeric" | "boolean" | undefined,
  path: string,
): readonly string[] {
  if (expects === undefined || typeof value === (expects === "numeric" ? "number" : expects)) return [];
  const what = expects === "numeric" ? "numeric (int or float)" : expects;
  return [`${path}: expected ${what}, got ${goType(value)}`];
}

function goType(value: unknown): string {
  if (Array.isArray(value)) return "[]interface {}";
  if (isJsonObject(value)) return "map[string]interface {}";
  return typeof value === "boolean" ? "bool" : typeof value === "number" ? "int64" : typeof value;
}

function listFaults(list: readonly unknown[], shape: ListShape, path: string): readonly string[] {
  const seen = new Set<string>();
  return list.flatMap((item, i) => {
    const element = shape.identify(item);
    if (element === undefined) return [`${path}: element ${i}: ${identityFault(item, shape.keys)}`];
    if (seen.has(element)) return [`${path}: duplicate entries for key ${place(shape, item)}`];
    seen.add(element);
    return [];
  });
}

function identityFault(item: unknown, keys: readonly string[]): string {
  if (!isJsonObject(item)) return "associative list with keys may not have non-map elements";
  const missing = keys.find((key) => own(item, key) === undefined && key !== "protocol");
  return `associative list with keys has an element that omits key field "${missing}" (and doesn't have default value)`;
}

function place(shape: ListShape, item: unknown): string {
  if (shape.keys.length === 0) return `[=${JSON.stringify(item)}]`;
  const element = shape.identify(item);
  if (element === undefined) return "";
  const keys = Object.entries(JSON.parse(element.slice(2)) as object);
  return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(",")}]`;
}

function printed(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function childType(shape: MapShape, name: string): TypeRef {
  return shape.child(name) ?? { kind: "free" };
}

/** An element without its keys, which only old objects can hold, is known by all it is. */
function elementOf(shape: ListShape, item: unknown): string {
  return shape.identify(item) ?? valueElement(item);
}

function indexed(list: unknown, shape: ListShape): ReadonlyMap<string, readonly unknown[]> {
  const items = new Map<string, unknown[]>();
  if (!Array.isArray(list)) return items;
  for (const item of list) {
    const element = elementOf(shape, item);
    const same = items.get(element);
    if (same) same.push(item);
    else items.set(element, [item]);
  }
  return items;
}

function isEmptyMap(value: unknown): boolean {
  return value === null || (isJsonObject(value) && Object.keys(value).length === 0);
}
