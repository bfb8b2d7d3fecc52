import { isJsonObject } from "@pilothouse/api";
import type { Steps } from "@pilothouse/api/steps";

/**
 * A set of field paths, as `managedFields[].fieldsV1` holds it: a tree by path elements, each the text it has there
 * (`f:name`, `k:{"name":"web"}`, `v:"x"`). Immutable; operations share what they leave alone.
 */
export type FieldSet = ReadonlyMap<string, FieldNode>;

export interface FieldNode {
  /** The path that ends here is in the set itself (`.` in fieldsV1), not only paths below it. */
  readonly member: boolean;
  readonly children: FieldSet;
}

export const NO_FIELDS: FieldSet = new Map();

export const LEAF: FieldNode = { member: true, children: NO_FIELDS };

export function fieldElement(name: string): string {
  return `f:${name}`;
}

/** The element of a list whose elements are known by keys. */
export function keyElement(keys: Readonly<Record<string, unknown>>): string {
  const names = Object.keys(keys);
  if (names.length === 1) return `k:${JSON.stringify(keys)}`;
  return `k:${JSON.stringify(Object.fromEntries(names.sort().map((name) => [name, keys[name]])))}`;
}

/** The element of a list that is a set of scalars. */
export function valueElement(value: unknown): string {
  return `v:${JSON.stringify(value)}`;
}

/** Builds a set from its nodes, without those that hold nothing. */
export function fieldSet(nodes: Iterable<readonly [element: string, node: FieldNode]>): FieldSet {
  const set = new Map<string, FieldNode>();
  for (const [element, node] of nodes) if (node.member || node.children.size > 0) set.set(element, node);
  return set;
}

/** The set of these paths; each a list of field names. */
export function fieldSetOf(...paths: readonly (readonly string[])[]): FieldSet {
  return paths.map((path) => pathSet(path)).reduce(union, NO_FIELDS);
}

function pathSet([name, ...rest]: readonly string[]): FieldSet {
  if (name === undefined) return NO_FIELDS;
  return new Map([[fieldElement(name), rest.length === 0 ? LEAF : { member: false, children: pathSet(rest) }]]);
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (a.size === 0) return b;
  if (b.size === 0) return a;
  const result = new Map(a);
  for (const [element, node] of b) {
    const other = a.get(element);
    result.set(
      element,
      other ? { member: other.member || node.member, children: union(other.children, node.children) } : node,
    );
  }
  return result;
}

/** The paths of `a` that are not in `b`; a path below one in `b` stays. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  if (b.size === 0) return a;
  return fieldSet(
    [...a].map(([element, node]) => {
      const other = b.get(element);
      if (!other) return [element, node];
      return [element, { member: node.member && !other.member, children: difference(node.children, other.children) }];
    }),
  );
}

/** The paths of `a` that neither are in `b` nor lie below one in `b`. */
export function differenceBelow(a: FieldSet, b: FieldSet): FieldSet {
  if (b.size === 0) return a;
  const left: [string, FieldNode][] = [];
  for (const [element, node] of a) {
    const other = b.get(element);
    if (!other) left.push([element, node]);
    else if (!other.member)
      left.push([element, { member: node.member, children: differenceBelow(node.children, other.children) }]);
  }
  return fieldSet(left);
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const common: [string, FieldNode][] = [];
  for (const [element, node] of a) {
    const other = b.get(element);
    if (other)
      common.push([
        element,
        { member: node.member && other.member, children: intersection(node.children, other.children) },
      ]);
  }
  return fieldSet(common);
}

export function sameFields(a: FieldSet, b: FieldSet): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  return [...a].every(([element, node]) => {
    const other = b.get(element);
    return other !== undefined && node.member === other.member && sameFields(node.children, other.children);
  });
}

/** Every path in the set as users read it: `.spec.containers[name="web"].image`. */
export function pathsOf(set: FieldSet, prefix = ""): readonly string[] {
  return sorted(set).flatMap(([element, node]) => {
    const path = prefix + printElement(element);
    return [...(node.member ? [path] : []), ...pathsOf(node.children, path)];
  });
}

export function printElement(element: string): string {
  const text = element.slice(2);
  switch (element.slice(0, 2)) {
    case "k:":
      return `[${Object.entries(JSON.parse(text) as object)
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
        .join(",")}]`;
    case "v:":
      return `[=${text}]`;
    case "i:":
      return `[${text}]`;
    default:
      return `.${text}`;
  }
}

/** The JSON of `fieldsV1`, in upstream's order. */
export function toFieldsV1(set: FieldSet): Record<string, unknown> {
  return below({ member: false, children: set });
}

/** `.` stands first, and the rest behind it: to copy it there would cost as much again. */
function below({ member, children }: FieldNode): Record<string, unknown> {
  const json: Record<string, unknown> = member && children.size > 0 ? { ".": {} } : {};
  for (const [element, node] of sorted(children)) json[element] = below(node);
  return json;
}

/** The same, for sets of a hundred thousand paths. */
export function toFieldsV1InSteps(set: FieldSet): Steps<Record<string, unknown>> {
  return belowInSteps({ member: false, children: set });
}

function* belowInSteps({ member, children }: FieldNode): Steps<Record<string, unknown>> {
  const json: Record<string, unknown> = member && children.size > 0 ? { ".": {} } : {};
  let count = 0;
  for (const [element, node] of sorted(children)) {
    const isLarge = pathsUpTo(PATHS_A_STEP, node.children) === PATHS_A_STEP;
    json[element] = isLarge ? yield* belowInSteps(node) : below(node);
    if (++count % PATHS_A_STEP === 0) yield;
  }
  return json;
}

const PATHS_A_STEP = 4_096;

/** How many paths and parts of paths there are, counted no further than `most`. */
function pathsUpTo(most: number, set: FieldSet): number {
  let count = set.size;
  for (const { children } of set.values()) {
    if (count >= most) return most;
    count += pathsUpTo(most, children);
  }
  return Math.min(most, count);
}

/** Reads `fieldsV1`; undefined if it is none, which only a client can have written. */
export function fromFieldsV1(json: unknown): FieldSet | undefined {
  if (!isJsonObject(json)) return undefined;
  const set = new Map<string, FieldNode>();
  for (const [text, value] of Object.entries(json)) {
    if (text === ".") continue;
    const element = normalElement(text);
    const children = fromFieldsV1(value);
    if (element === undefined || children === undefined) return undefined;
    set.set(element, { member: children.size === 0 || Object.hasOwn(value as object, "."), children });
  }
  return set;
}

/** A client may write a key's JSON in its own way. */
function normalElement(text: string): string | undefined {
  const prefix = text.slice(0, 2);
  if (prefix === "f:") return text;
  if (prefix === "i:") return /^i:[0-9]+$/.test(text) ? text : undefined;
  if (prefix !== "k:" && prefix !== "v:") return undefined;
  try {
    const value: unknown = JSON.parse(text.slice(2));
    if (prefix === "v:") return valueElement(value);
    return isJsonObject(value) ? keyElement(value) : undefined;
  } catch {
    return undefined;
  }
}

/** By the elements' texts, as UTF-16 has them. */
function sorted(set: FieldSet): readonly (readonly [string, FieldNode])[] {
  if (set.size < 2) return [...set];
  // Without a comparison of ours: there may be a hundred thousand.
  const elements = [...set.keys()].sort();
  return elements.map((element) => [element, set.get(element) as FieldNode]);
}
