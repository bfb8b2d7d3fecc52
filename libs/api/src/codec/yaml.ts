/**
 * YAML in and out, as JSON values: YAML 1.1's scalars as Go's parser takes them (`yes` is true, `0777` is octal, a time
 * stays text), the first document only, keys unique.
 * Limits: at most MAX_ALIASES aliases, which may add MAX_ALIASED_CHARACTERS; nesting to MAX_DEPTH; MAX_YAML_BYTES of what is
 * not JSON as well.
 */
import {
  isAlias,
  isCollection,
  isScalar,
  LineCounter,
  parseDocument,
  stringify,
  visit,
  type CollectionTag,
  type Document,
  type ScalarTag,
  type Tags,
  type YAMLError,
} from "yaml";
import { isTooDeep } from "./json-scan.ts";
import { DecodeError, MAX_DEPTH } from "./limits.ts";
import { parseJson } from "./json.ts";

/** How often aliases may be expanded in one document: more is an attack, not a manifest. */
const MAX_ALIASES = 1000;

/**
 * The parser and the writer take about a microsecond a byte, and keep the process from everything else meanwhile. Kubernetes'
 * own clients send JSON, also where they say YAML, and that takes the quick way.
 */
export const MAX_YAML_BYTES = 128 * 1024;

/** What aliases may add to a document, about. */
const MAX_ALIASED_CHARACTERS = 128 * 1024;

/** A JSON value that shares nothing within itself. Throws a DecodeError. A body that is JSON takes the quick way. */
export function parseYaml(bytes: Uint8Array): unknown {
  return beginsAsJson(bytes) ? (parsedAsJson(bytes) ?? parsedAsYaml(bytes)) : parsedAsYaml(bytes);
}

/** Keys in the order they have, no aliases, no folded lines. A large value is written in YAML's flow style, which is JSON. */
export function encodeYaml(value: unknown): Uint8Array {
  const json = JSON.stringify(value) as string | undefined;
  if (json !== undefined && json.length > MAX_YAML_BYTES) return new TextEncoder().encode(`${json}\n`);
  return new TextEncoder().encode(stringify(value, { version: "1.1", lineWidth: 0, aliasDuplicateObjects: false }));
}

function beginsAsJson(bytes: Uint8Array): boolean {
  const first = bytes.find((byte) => byte > 0x20);
  return first === 0x7b || first === 0x5b;
}

/** Undefined when it is not JSON after all: YAML's flow style begins alike. */
function parsedAsJson(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes);
  } catch (error) {
    if (isTooDeep(bytes)) throw error;
    return undefined;
  }
}

function parsedAsYaml(bytes: Uint8Array): unknown {
  if (bytes.length > MAX_YAML_BYTES)
    throw new DecodeError(`error converting YAML to JSON: yaml: more than ${MAX_YAML_BYTES} bytes; send it as JSON`);
  const text = new TextDecoder().decode(bytes);
  if (isTooDeep(bytes))
    throw new DecodeError(`error converting YAML to JSON: yaml: exceeded max depth of ${MAX_DEPTH}`);
  try {
    const lines = new LineCounter();
    const document = withoutStacks(() => parseDocument(text, { ...OPTIONS, lineCounter: lines }));
    const error = document.errors.find(({ code }) => code !== "MULTIPLE_DOCS");
    // The parser tells of its own exhausted stack as of any other error.
    if (error?.message.includes("call stack")) throw new RangeError(error.message);
    if (error) throw new DecodeError(errorText(error, lines));
    refuseDuplicates(document, lines);
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
    if (charactersLeft(value, 2 * text.length + MAX_ALIASED_CHARACTERS) < 0) throw excessiveAliasing();
    return withoutSharing(value);
  } catch (error) {
    if (error instanceof DecodeError) throw error;
    // the parser's own limits: the alias count (ReferenceError) and the stack (RangeError)
    if (!(error instanceof RangeError)) throw excessiveAliasing();
    throw new DecodeError("error converting YAML to JSON: yaml: exceeded max depth");
  }
}

/**
 * The parser's own check of keys compares each with each: a minute for a megabyte. Its pretty errors quote the text around
 * each, and text that was cut off within a thousand brackets has a thousand.
 */
const OPTIONS = {
  version: "1.1",
  schema: "yaml-1.1",
  customTags: likeGo,
  uniqueKeys: false,
  prettyErrors: false,
  logLevel: "silent",
} as const;

/** The parser makes an error for each mistake of thousands, deep in its recursion; what it costs is their stacks, which nobody reads. */
function withoutStacks<T>(work: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return work();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function refuseDuplicates(document: Document, lines: LineCounter): void {
  visit(document, {
    Map(_, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        const meant = isAlias(key) ? key.resolve(document) : key;
        // Go's converter knows no such keys either, and to write them as text takes the cube of their depth.
        if (isCollection(meant)) throw new DecodeError("error converting YAML to JSON: yaml: invalid map key");
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) {
          const { line } = lines.linePos(key.range?.[0] ?? 0);
          const problem = `line ${line}: key ${JSON.stringify(key.value)} already set in map`;
          throw new DecodeError(`error converting YAML to JSON: yaml: unmarshal errors:\n  ${problem}`);
        }
        seen.add(key.value);
      }
    },
  });
}

function excessiveAliasing(): DecodeError {
  return new DecodeError("error converting YAML to JSON: yaml: document contains excessive aliasing");
}

/** What is left of `limit` when every alias is written out, a character at least for each value; stops counting below 0. */
function charactersLeft(value: unknown, limit: number): number {
  if (typeof value === "string") return limit - value.length - 1;
  let left = limit - 1;
  if (typeof value !== "object" || value === null) return left;
  for (const [key, item] of Object.entries(value)) {
    left = charactersLeft(item, Array.isArray(value) ? left : left - key.length);
    if (left < 0) break;
  }
  return left;
}

/** Aliases make one object appear twice; what is decoded is changed in place later. */
function withoutSharing(value: unknown): unknown {
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined ? null : parseJson(new TextEncoder().encode(text));
}

/** Go's parser knows no sexagesimal numbers, leaves times as text, and has no sets or ordered maps. */
function likeGo(tags: Tags): Tags {
  return tags.filter((tag) => typeof tag === "string" || (!isTimeLike(tag) && !UNKNOWN_TO_GO.has(tag.tag)));
}

function isTimeLike(tag: CollectionTag | ScalarTag): boolean {
  return "format" in tag && tag.format === "TIME";
}

const UNKNOWN_TO_GO = new Set(
  ["timestamp", "binary", "set", "omap", "pairs"].map((name) => `tag:yaml.org,2002:${name}`),
);

function errorText({ pos, code, message }: YAMLError, lines: LineCounter): string {
  const { line } = lines.linePos(pos[0]);
  return `error converting YAML to JSON: yaml: line ${Math.max(1, line)}: ${GO_WORDS[code] ?? message}`;
}

/** What Go's parser says to the same mistake. */
const GO_WORDS: Readonly<Partial<Record<YAMLError["code"], string>>> = {
  BLOCK_AS_IMPLICIT_KEY: "mapping values are not allowed in this context",
  TAB_AS_INDENT: "found character that cannot start any token",
  BAD_INDENT: "did not find expected key",
  MISSING_CHAR: "did not find expected key",
  UNEXPECTED_TOKEN: "did not find expected node content",
  BAD_ALIAS: "unknown anchor referenced",
};
