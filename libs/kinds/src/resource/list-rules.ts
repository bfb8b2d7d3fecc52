/** Lists and maps of the resource.k8s.io kinds: how long they may be, each item by itself, and none twice. */
import { duplicate, tooMany, type FieldErrors } from "../field-errors.ts";

type ItemRules<T> = (item: T, path: string, index: number) => FieldErrors;

/** One that is too long is not looked into. */
export function* listRules<T>(
  items: readonly T[] | undefined,
  path: string,
  max: number,
  rules: ItemRules<T>,
): FieldErrors {
  if (!items) return;
  if (items.length > max) {
    yield tooMany(path, items.length, max);
    return;
  }
  for (const [index, item] of items.entries()) yield* rules(item, `${path}[${index}]`, index);
}

/** The same, of items that are told apart by a key. */
export function* setRules<T>(
  items: readonly T[] | undefined,
  path: string,
  max: number,
  keyOf: (item: T) => string,
  rules: ItemRules<T>,
): FieldErrors {
  yield* listRules(items, path, max, rules);
  if (!items || items.length > max) return;
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    const key = keyOf(item);
    if (seen.has(key)) yield duplicate(`${path}[${index}]`, key);
    seen.add(key);
  }
}

export function* mapRules<T>(
  items: Readonly<Record<string, T>> | undefined,
  path: string,
  max: number,
  keyRules: (key: string, path: string) => FieldErrors,
  rules: (item: T, path: string) => FieldErrors,
): FieldErrors {
  const entries = Object.entries(items ?? {});
  if (entries.length > max) {
    yield tooMany(path, entries.length, max);
    return;
  }
  for (const [key, item] of entries) {
    yield* keyRules(key, path);
    yield* rules(item, `${path}[${key}]`);
  }
}
