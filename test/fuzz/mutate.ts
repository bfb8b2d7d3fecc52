/** How inputs are spoilt: bytes, texts, and JSON trees with their structure kept. Every function draws from the stream it is given. */
import type { Random } from "@pilothouse/clock";

export function below(random: Random, limit: number): number {
  return Math.floor(random.next() * limit);
}

export function chance(random: Random, share: number): boolean {
  return random.next() < share;
}

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[below(random, from.length)] as T;
}

export function times<T>(random: Random, most: number, make: () => T): T[] {
  return Array.from({ length: below(random, most + 1) }, make);
}

/** Texts that have broken parsers before. */
export const HOSTILE_TEXTS: readonly string[] = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "",
  " ",
  ".",
  "..",
  "../../etc/passwd",
  "a/b",
  "%2f",
  "%",
  "a\0b",
  "\u2028",
  "\ud800",
  "\ufeff",
  "é漢🙂",
  "-",
  "null",
  "true",
  "NaN",
  "0x10",
  "1e999",
  "$patch",
  "$retainKeys",
  "f:metadata",
  "k:{}",
  "~1",
  "a".repeat(64),
  "a".repeat(254),
  "a-".repeat(3_000),
  `${"a".repeat(5_000)}!`,
  ",".repeat(2_000),
  "(".repeat(2_000),
];

export const HOSTILE_NUMBERS: readonly number[] = [
  0,
  -0,
  -1,
  1,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31) - 1,
  2 ** 53,
  2 ** 53 + 2,
  -(2 ** 53) - 2,
  2 ** 63,
  2 ** 64,
  1e21,
  1e308,
  5e-324,
  0.1,
];

/** Numbers as a JSON text may have them and no JavaScript value does. */
const NUMBER_TEXTS: readonly string[] = [
  "9223372036854775807",
  "9223372036854775808",
  "-9223372036854775808",
  "9007199254740993",
  "1e400",
  "-0",
  "1E5",
  "00",
  "1.",
  ".5",
  "1".repeat(400),
];

export function mutateBytes(random: Random, bytes: Uint8Array, other: Uint8Array = bytes): Uint8Array {
  let out = Buffer.from(bytes);
  for (let left = 1 + below(random, 4); left > 0; left--)
    out = BYTE_MUTATIONS[below(random, 6)]?.(random, out, other) ?? out;
  return out;
}

type ByteMutation = (random: Random, bytes: Buffer, other: Uint8Array) => Buffer<ArrayBuffer>;

const BYTE_MUTATIONS: readonly ByteMutation[] = [
  function flip(random, bytes) {
    const at = below(random, bytes.length);
    if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ (1 << below(random, 8));
    return Buffer.from(bytes);
  },
  function overwrite(random, bytes) {
    if (bytes.length > 0) bytes[below(random, bytes.length)] = pick(random, [0, 0x7f, 0x80, 0xff, below(random, 256)]);
    return Buffer.from(bytes);
  },
  function truncate(random, bytes) {
    return Buffer.from(bytes.subarray(0, below(random, bytes.length + 1)));
  },
  function cutOut(random, bytes) {
    const from = below(random, bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + below(random, 40))]);
  },
  function splice(random, bytes, other) {
    const from = below(random, other.length + 1);
    const at = below(random, bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), other.subarray(from, from + below(random, 200)), bytes.subarray(at)]);
  },
  function repeat(random, bytes) {
    const from = below(random, bytes.length + 1);
    const piece = bytes.subarray(from, from + 1 + below(random, 12));
    const copies = Array.from({ length: pick(random, [2, 20, 1_500]) }, () => piece);
    return Buffer.concat([bytes.subarray(0, from), ...copies, bytes.subarray(from)]);
  },
];

/** No header and no URL is longer: see headerBytes in door-limits.ts. */
const LONGEST_TEXT = 1024 * 1024;

/** For what is read character by character: selectors, paths, quantities. */
export function mutateText(random: Random, text: string, tokens: readonly string[]): string {
  let out = text;
  for (let left = 1 + below(random, 4); left > 0; left--) {
    const at = below(random, out.length + 1);
    const end = chance(random, 0.5) ? at : at + below(random, 6);
    const token = chance(random, 0.8) ? pick(random, tokens) : pick(random, HOSTILE_TEXTS);
    out = out.slice(0, at) + (chance(random, 0.05) ? token.repeat(300) : token) + out.slice(end);
  }
  return out.slice(0, LONGEST_TEXT);
}

/** The text of a JSON tree after a few changes that keep it JSON, and now and then one that does not. */
export function mutateJsonText(random: Random, value: unknown): string {
  let tree = value;
  for (let left = 1 + below(random, 3); left > 0; left--) tree = mutateTree(random, tree);
  const text = JSON.stringify(tree);
  return chance(random, 0.3) ? mutateTokens(random, text) : text;
}

/** Changes one place of the tree, chosen by a random walk from the root. */
export function mutateTree(random: Random, value: unknown): unknown {
  const isLeaf = typeof value !== "object" || value === null || Object.keys(value).length === 0;
  if (isLeaf || chance(random, 0.12)) return chance(random, 0.2) ? wrapped(random, value) : randomJson(random, 2);
  const keys = Object.keys(value);
  const key = pick(random, keys);
  const holder = value as Record<string, unknown>;
  if (chance(random, 0.08)) return without(value, key);
  if (chance(random, 0.08))
    return { ...holder, [pick(random, [...HOSTILE_TEXTS.slice(0, 30), ...keys])]: randomJson(random, 2) };
  if (Array.isArray(value) && chance(random, 0.1))
    return [...(value as unknown[]), ...(value as unknown[]).slice(0, 3)];
  const changed = mutateTree(random, holder[key]);
  return Array.isArray(value) ? value.with(Number(key), changed) : { ...holder, [key]: changed };
}

export function randomJson(random: Random, depth: number): unknown {
  switch (below(random, depth > 0 ? 8 : 5)) {
    case 0:
      return pick(random, HOSTILE_TEXTS);
    case 1:
      return pick(random, HOSTILE_NUMBERS);
    case 2:
      return null;
    case 3:
      return chance(random, 0.5);
    case 4:
      return pick(random, [{}, [], "a", "100m", "2026-01-01T00:00:00Z", "app=web"]);
    case 5:
      return times(random, 4, () => randomJson(random, depth - 1));
    case 6:
      return wrapped(random, "deep");
    default:
      return Object.fromEntries(times(random, 4, () => [pick(random, HOSTILE_TEXTS), randomJson(random, depth - 1)]));
  }
}

function wrapped(random: Random, value: unknown): unknown {
  let out = value;
  const isList = chance(random, 0.5);
  for (let level = pick(random, [1, 2, 60, 998, 1_100]); level > 0; level--) out = isList ? [out] : { a: out };
  return out;
}

function without(value: object, key: string): unknown {
  if (Array.isArray(value)) return value.toSpliced(Number(key), 1) as unknown;
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
}

/** What no tree can say: keys twice, numbers beyond a double, `__proto__` as a key, white space, broken escapes. */
function mutateTokens(random: Random, text: string): string {
  switch (below(random, 5)) {
    case 0:
      return text.replace(/"([a-zA-Z]+)":/, (key) => `${key}null,${key}`);
    case 1:
      return replaceOne(random, text, /-?\b\d+(\.\d+)?\b/g, () => pick(random, NUMBER_TEXTS));
    case 2:
      return replaceOne(random, text, /"[a-zA-Z]+":/g, () => '"__proto__":');
    case 3:
      return replaceOne(random, text, /[,:{}[\]]/g, (token) => `${" \n\t".repeat(below(random, 50))}${token}`);
    default:
      return replaceOne(random, text, /[a-z]/g, () => pick(random, ["\\u0000", "\\ud800", "\\x", "\\", "\u0001"]));
  }
}

function replaceOne(random: Random, text: string, pattern: RegExp, by: (found: string) => string): string {
  const found = [...text.matchAll(pattern)];
  if (found.length === 0) return text;
  const match = pick(random, found);
  return text.slice(0, match.index) + by(match[0]) + text.slice(match.index + match[0].length);
}
