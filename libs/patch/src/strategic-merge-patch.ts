import { isJsonObject, type FieldSchema, type JsonObject, type StructureSchema } from "@pilothouse/api";
import { badRequest, StatusError } from "@pilothouse/errors";
import { own, setOwn } from "./json.ts";

const DIRECTIVE = "$patch";
const RETAIN_KEYS = "$retainKeys";
const ORDER_PREFIX = "$setElementOrder/";
const DELETE_PREFIX = "$deleteFromPrimitiveList/";

/**
 * Kubernetes' strategic merge patch: like a merge patch, but lists with a merge strategy merge by their merge key, and
 * directives (`$patch`, `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`) say what a merge cannot.
 * The object is not changed; what the patch leaves alone is shared.
 *
 * @throws StatusError 400 or 422 with upstream's texts
 */
export function applyStrategicMergePatch(
  object: JsonObject,
  patch: unknown,
  structure: StructureSchema,
): Record<string, unknown> {
  if (!isJsonObject(patch)) throw badRequest("strategic merge patch format is not supported");
  return mergeMap(object, patch, { structure });
}

/** What is known of a map: the structure of its fields, or one schema for all its values; neither for free JSON. */
interface MapType {
  readonly structure?: StructureSchema;
  readonly values?: FieldSchema;
}

function mergeMap(original: JsonObject, patch: JsonObject, type: MapType): Record<string, unknown> {
  const directive = own(patch, DIRECTIVE);
  if (directive !== undefined) return replacedMap(directive, patch);
  const merged = retained(original, patch);
  for (const [key, value] of Object.entries(patch)) {
    if (key === RETAIN_KEYS || isOrderedElsewhere(patch, key)) continue;
    if (key.startsWith(ORDER_PREFIX)) mergeOrdered(merged, patch, key.slice(ORDER_PREFIX.length), value, type);
    else if (key.startsWith(DELETE_PREFIX)) deleteScalars(merged, key.slice(DELETE_PREFIX.length), value);
    else if (value === null) delete merged[key];
    else setOwn(merged, key, mergeValue(own(merged, key), value, fieldOf(type, key)));
  }
  return merged;
}

/** A list that comes with an order is merged together with it. */
function isOrderedElsewhere(patch: JsonObject, key: string): boolean {
  return Object.hasOwn(patch, ORDER_PREFIX + key);
}

function replacedMap(directive: unknown, patch: JsonObject): Record<string, unknown> {
  if (directive === "replace") return withoutDirectives(patch) as Record<string, unknown>;
  if (directive === "delete") return {};
  throw unknownDirective(directive, patch);
}

/** The original, without what `$retainKeys` does not name. */
function retained(original: JsonObject, patch: JsonObject): Record<string, unknown> {
  const keys = own(patch, RETAIN_KEYS);
  if (keys === undefined) return { ...original };
  if (!Array.isArray(keys)) throw badRequest("invalid patch format of retainKeys");
  const kept = new Set<unknown>(keys);
  const isFree = (key: string): boolean =>
    key === RETAIN_KEYS || key.startsWith(DELETE_PREFIX) || key.startsWith(ORDER_PREFIX);
  for (const [key, value] of Object.entries(patch))
    if (value !== null && !isFree(key) && !kept.has(key)) throw badRequest("invalid patch format of retainKeys");
  return Object.fromEntries(Object.entries(original).filter(([key]) => kept.has(key)));
}

function mergeValue(original: unknown, patch: unknown, field: FieldSchema | undefined): unknown {
  const replaces = field?.patchStrategy.includes("replace") === true;
  if (isJsonObject(original) && isJsonObject(patch) && !replaces) return mergeMap(original, patch, typeOf(field));
  if (Array.isArray(original) && Array.isArray(patch) && field?.patchStrategy.includes("merge") === true)
    return mergeList(original, patch, field);
  return withoutDirectives(patch);
}

/** What a new or replacing value is: neither nulls nor directives get into objects. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) {
    checkNoListOfLists(value);
    return value
      .filter((item) => !isJsonObject(item) || own(item, DIRECTIVE) === undefined)
      .map((item) => withoutDirectives(item));
  }
  if (!isJsonObject(value)) return value;
  const clean: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (item === null || isDirective(key)) continue;
    if (isJsonObject(item) && own(item, DIRECTIVE) === "delete") continue;
    setOwn(clean, key, withoutDirectives(item));
  }
  return clean;
}

function isDirective(key: string): boolean {
  return key === DIRECTIVE || key === RETAIN_KEYS || key.startsWith(ORDER_PREFIX) || key.startsWith(DELETE_PREFIX);
}

function mergeList(original: readonly unknown[], patch: readonly unknown[], field: FieldSchema): readonly unknown[] {
  if (original.length === 0 && patch.length === 0) return original;
  checkNoListOfLists(original);
  checkNoListOfLists(patch);
  const isOfMaps = sameTypes([...original, ...patch]);
  if (!isOfMaps) {
    const merged = [...new Set([...original, ...patch])];
    return ordered(merged, patch, original, undefined);
  }
  const key = field.patchMergeKey;
  if (key === undefined) throw badRequest("cannot merge lists without merge key for type struct");
  const { kept, changes } = specialElements(original as readonly JsonObject[], patch as readonly JsonObject[], key);
  return ordered(mergeByKey(kept, changes, key, typeOf(field)), changes, kept, key);
}

/** Acts on elements that hold `$patch`: what is kept of the original, and what is left to merge into it. */
function specialElements(
  original: readonly JsonObject[],
  patch: readonly JsonObject[],
  key: string,
): { kept: readonly JsonObject[]; changes: readonly JsonObject[] } {
  const deleted = new Set<unknown>();
  const changes: JsonObject[] = [];
  let replaces = false;
  for (const element of patch) {
    const directive = own(element, DIRECTIVE);
    if (directive === undefined) changes.push(element);
    else if (directive === "delete") deleted.add(mergeKeyOf(element, key));
    else if (directive === "replace") replaces = true;
    else if (directive === "merge") throw badRequest("merging lists cannot yet be specified in the patch");
    else throw unknownDirective(directive, element);
  }
  if (replaces) return { kept: changes.map((item) => withoutDirectives(item) as JsonObject), changes: [] };
  return { kept: original.filter((element) => !deleted.has(own(element, key))), changes };
}

function mergeByKey(
  original: readonly JsonObject[],
  patch: readonly JsonObject[],
  key: string,
  type: MapType,
): readonly JsonObject[] {
  const merged = [...original];
  const positions = new Map<unknown, number>();
  merged.forEach((element, i) => {
    if (!positions.has(own(element, key))) positions.set(own(element, key), i);
  });
  for (const element of patch) {
    const value = mergeKeyOf(element, key);
    const position = positions.get(value);
    if (position === undefined) {
      positions.set(value, merged.length);
      merged.push(withoutDirectives(element) as JsonObject);
    } else merged[position] = mergeMap(merged[position] as JsonObject, element, type);
  }
  return merged;
}

/** `$setElementOrder/<key>`, together with the patch's list of that key if there is one. */
function mergeOrdered(
  merged: Record<string, unknown>,
  patch: JsonObject,
  key: string,
  order: unknown,
  type: MapType,
): void {
  const field = fieldOf(type, key);
  const original = own(merged, key);
  const change = own(patch, key);
  if (!Array.isArray(order)) throw badRequest(expected(order));
  if (type.structure && !field)
    throw badRequest(`unable to find api field in struct ${type.structure.goName} for the json field "${key}"`);
  for (const list of [original, change])
    if (list !== undefined && !Array.isArray(list)) throw badRequest(expected(list));
  const mergeKey = field?.patchMergeKey;
  checkOrder((change ?? []) as readonly unknown[], order, mergeKey);
  if (original === undefined && change === undefined) return;
  const list = change === undefined ? original : mergeValue(original, change, field);
  setOwn(merged, key, ordered(list as readonly unknown[], order, (original ?? []) as readonly unknown[], mergeKey));
}

/** The elements of a patch must stand in the order that its `$setElementOrder` says. */
function checkOrder(patch: readonly unknown[], order: readonly unknown[], mergeKey: string | undefined): void {
  const elements = patch.filter((item) => !isJsonObject(item) || own(item, DIRECTIVE) === undefined);
  if (order.length === 0 || elements.length === 0) return;
  let next = 0;
  for (const item of order)
    if (next < elements.length && identity(elements[next], mergeKey) === identity(item, mergeKey)) next++;
  if (next < elements.length)
    throw badRequest(
      `The order in patch list:\n${printed(patch)}\n doesn't match $setElementOrder list:\n${printed(order)}\n`,
    );
}

/**
 * Puts a merged list in order: what `order` names as it says, the rest as it stood in `original`; where both were in the
 * original, their order there decides between the two.
 */
function ordered(
  merged: readonly unknown[],
  order: readonly unknown[],
  original: readonly unknown[],
  mergeKey: string | undefined,
): readonly unknown[] {
  const asked = positionsOf(order, mergeKey);
  const before = positionsOf(original, mergeKey);
  const rank = (positions: ReadonlyMap<unknown, number>) => (item: unknown) =>
    positions.get(identity(item, mergeKey)) ?? Number.POSITIVE_INFINITY;
  const named = sortedBy(
    merged.filter((item) => asked.has(identity(item, mergeKey))),
    rank(asked),
  );
  const rest = sortedBy(
    merged.filter((item) => !asked.has(identity(item, mergeKey))),
    rank(before),
  );
  const result: unknown[] = [];
  let next = 0;
  for (const item of named) {
    const at = rank(before)(item);
    while (next < rest.length && at !== Number.POSITIVE_INFINITY && rank(before)(rest[next]) < at)
      result.push(rest[next++]);
    result.push(item);
  }
  return [...result, ...rest.slice(next)];
}

function sortedBy(list: readonly unknown[], rank: (item: unknown) => number): readonly unknown[] {
  return [...list].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
}

function positionsOf(list: readonly unknown[], mergeKey: string | undefined): ReadonlyMap<unknown, number> {
  const positions = new Map<unknown, number>();
  list.forEach((item, i) => {
    const id = identity(item, mergeKey);
    if (!positions.has(id)) positions.set(id, i);
  });
  return positions;
}

/** What an element is known by: its merge key's value, or the scalar itself. */
function identity(item: unknown, mergeKey: string | undefined): unknown {
  if (mergeKey === undefined) return item;
  if (!isJsonObject(item)) throw badRequest(expected(item));
  return mergeKeyOf(item, mergeKey);
}

function mergeKeyOf(element: JsonObject, key: string): unknown {
  const value = own(element, key);
  if (value === undefined) throw badRequest(`map: ${printed(element)} does not contain declared merge key: ${key}`);
  return value;
}

function deleteScalars(merged: Record<string, unknown>, key: string, scalars: unknown): void {
  if (!Array.isArray(scalars)) throw badRequest("invalid patch format of primitive list");
  const original = own(merged, key);
  if (!Array.isArray(original)) return;
  const gone = new Set<unknown>(scalars);
  const left = original.filter((item) => !gone.has(item));
  setOwn(merged, key, left);
}

function fieldOf(type: MapType, key: string): FieldSchema | undefined {
  return type.structure ? type.structure.fields.get(key) : type.values && elementField(type.values);
}

/** A map's value has no strategy of its own. */
function elementField(field: FieldSchema): FieldSchema {
  return { ...field, mapKey: undefined, repeated: false, patchStrategy: [], patchMergeKey: undefined };
}

function typeOf(field: FieldSchema | undefined): MapType {
  if (!field) return {};
  if (field.mapKey) return { values: field };
  return field.type.kind === "structure" ? { structure: field.type.structure } : {};
}

function checkNoListOfLists(list: readonly unknown[]): void {
  if (list.some((item) => Array.isArray(item)))
    throw new StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {});
}

/** True for a list of maps, false for one of scalars; a mixture cannot be merged. */
function sameTypes(list: readonly unknown[]): boolean {
  const kind = (item: unknown): string => (item === null ? "null" : typeof item);
  if (list.some((item) => kind(item) !== kind(list[0])))
    throw badRequest(`list element types are not identical: ${printed(list)}`);
  return isJsonObject(list[0]);
}

function unknownDirective(directive: unknown, patch: JsonObject): StatusError {
  return badRequest(`unknown patch type: ${printed(directive)} in map: ${printed(patch)}`);
}

function expected(actual: unknown): string {
  const type = isJsonObject(actual) ? "map[string]interface {}" : typeof actual;
  return `expected a []interface {}, but received a ${type}`;
}

/** As Go prints a value: `map[name:web ports:[80 443]]`. */
function printed(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printed).join(" ")}]`;
  if (value === null) return "<nil>";
  if (!isJsonObject(value)) return typeof value === "string" ? value : JSON.stringify(value);
  return `map[${Object.keys(value)
    .sort()
    .map((key) => `${key}:${printed(value[key])}`)
    .join(" ")}]`;
}
