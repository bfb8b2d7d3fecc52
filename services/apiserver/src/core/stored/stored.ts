/**
 * The stored form of an object (C1).
 *
 * A value in etcd is the object's canonical JSON without `metadata.resourceVersion`, a newline, and a trailer in JSON:
 * `{"schema":…,"write":…,"traceparent":…,"splice":…}`. `etcdctl get` stays readable, and a reader gets its bytes by
 * splicing the revision in: nothing is parsed to be sent.
 *
 * Promises: equal objects have equal bytes (keys are sorted); a value without a trailer, or with another schema stamp, is
 * read all the same (`foreign`), never taken for absent.
 */
import { canonicalObject, schemaOf, stringifyJson, type JsonObject } from "@pilothouse/api";
import { setOwn } from "@pilothouse/api/codec/fit";
import { atOnce, type Steps } from "@pilothouse/api/steps";
import type { ApiObject, KindDefinition, ObjectMeta } from "@pilothouse/kinds/kind";
import { formatTraceparent, parseTraceparent, type TraceContext } from "@pilothouse/api/trace-context";
import { ENCRYPTED_PREFIX } from "./encryption.ts";
import type { CacheEntry, EncodedObject, StoredObject } from "../model.ts";

/** Changes when the stored form of any kind changes; a value with another stamp is decoded and encoded again at load. */
export const SCHEMA_STAMP = "v1.36/1";

/** etcd refuses a request above 1.5 MiB; keys, compares and framing need a little of it. */
export const MAX_STORED_BYTES = 1_572_864 - 4_096;

/** What stands behind the newline. */
export interface Trailer {
  readonly schema: string;
  /** The id of the write that made this value: settles an unclear outcome (C3). */
  readonly writeId: string;
  readonly trace: TraceContext | undefined;
  /** The byte offset at which `"resourceVersion":"…",` belongs. */
  readonly spliceOffset: number;
}

/** A value taken apart, its JSON not yet parsed. */
export interface StoredValue {
  /** The object's JSON, without resourceVersion. A view, not a copy. */
  readonly body: Uint8Array;
  readonly trailer: Trailer;
  /** Written under another schema stamp, or by hand without a trailer. */
  readonly foreign: boolean;
}

/** Encodes an object for the store. Its resourceVersion, if any, is left out. */
export function encodeObject(object: ApiObject): EncodedObject {
  return atOnce(encodeObjectInSteps(object));
}

/** The same, for large objects. */
export function* encodeObjectInSteps(object: ApiObject): Steps<EncodedObject> {
  const canonical = canonicalTree(object);
  yield;
  const text = stringifyJson(canonical);
  yield;
  return { object: canonical, body: Buffer.from(text), spliceOffset: spliceOffsetOf(canonical) };
}

/** The value to put. */
export function storedValue(
  { body, spliceOffset }: EncodedObject,
  writeId: string,
  trace: TraceContext | undefined,
): Uint8Array {
  const trailer = JSON.stringify({
    schema: SCHEMA_STAMP,
    write: writeId,
    ...(trace ? { traceparent: formatTraceparent(trace) } : {}),
    splice: spliceOffset,
  });
  const value = Buffer.allocUnsafe(body.length + 1 + trailer.length);
  value.set(body);
  value[body.length] = NEWLINE;
  value.write(trailer, body.length + 1, "latin1");
  return value;
}

/** An encoded object as it is served once it is stored at a revision. */
export function storedAt(encoded: EncodedObject, revision: number): StoredObject {
  const { object, body, spliceOffset } = encoded;
  const metadata = { ...object.metadata, resourceVersion: String(revision) };
  return { object: { ...object, metadata }, revision, bytes: splice(body, spliceOffset, revision) };
}

/** A stored value without an object in it. The message says why, and nothing of what the value holds. */
export class UnreadableValue extends Error {
  override readonly name = "UnreadableValue";
}

/**
 * Takes a stored value apart.
 *
 * @throws UnreadableValue
 */
export function decodeStored(value: Uint8Array): StoredValue {
  const newline = value.lastIndexOf(NEWLINE);
  const trailer = newline < 0 ? undefined : parseTrailer(value.subarray(newline + 1));
  if (trailer && trailer.schema === SCHEMA_STAMP) return { body: value.subarray(0, newline), trailer, foreign: false };
  const object = parseObject(trailer ? value.subarray(0, newline) : value);
  return {
    body: encodeObject(object).body,
    trailer: {
      schema: trailer?.schema ?? "",
      writeId: trailer?.writeId ?? "",
      trace: trailer?.trace,
      spliceOffset: spliceOffsetOf(object),
    },
    foreign: true,
  };
}

/** A stored value as an object of its kind at a resourceVersion; foreign ones get today's defaults (C1). */
export function readStored(
  kind: KindDefinition,
  value: Uint8Array,
  resourceVersion: number,
  room: RoomFor = newRoom,
): ReadObject {
  const stored = decodeStored(value);
  const object = parseObject(stored.body);
  if (!stored.foreign) {
    const bytes = splice(stored.body, stored.trailer.spliceOffset, resourceVersion, room);
    return { object: withRevision(object, resourceVersion), bytes, trailer: stored.trailer, foreign: false };
  }
  kind.defaults?.(object);
  const { body, spliceOffset } = encodeObject(object);
  return {
    object: withRevision(object, resourceVersion),
    bytes: splice(body, spliceOffset, resourceVersion),
    trailer: stored.trailer,
    foreign: true,
  };
}

export interface ReadObject {
  readonly object: ApiObject;
  /** The served bytes. */
  readonly bytes: Uint8Array;
  readonly trailer: Trailer;
  readonly foreign: boolean;
}

/** What readers select by, read once when the entry enters the cache; the tree is dropped after it. */
export type EntryFacts = Pick<
  CacheEntry,
  "namespace" | "name" | "uid" | "labels" | "fields" | "ownerUids" | "deleting"
>;

export function factsOf(kind: KindDefinition, object: ApiObject): EntryFacts {
  const { name = "", namespace = "", uid = "", labels = NONE, ownerReferences, deletionTimestamp } = object.metadata;
  return {
    namespace,
    name,
    uid,
    labels,
    fields: {
      "metadata.name": name,
      ...(kind.namespaced ? { "metadata.namespace": namespace } : {}),
      ...kind.selectableFields?.(object),
    },
    ownerUids: ownerReferences?.map((owner) => owner.uid) ?? [],
    deleting: deletionTimestamp !== undefined,
  };
}

/** True when storing `after` in place of `before` would change nothing (C2): resourceVersion and trailer do not count. */
export function isUnchanged(
  { bytes, revision, foreign }: StoredObject,
  { body, spliceOffset }: EncodedObject,
): boolean {
  return foreign !== true && Buffer.compare(splice(body, spliceOffset, revision), bytes) === 0;
}

/** Where served bytes are to be written. */
export type RoomFor = (lengthBytes: number) => Uint8Array;

const newRoom: RoomFor = (lengthBytes) => Buffer.allocUnsafe(lengthBytes);

/** Inserts `"resourceVersion":"…"` into the metadata of an object's JSON. */
export function splice(body: Uint8Array, offset: number, resourceVersion: number, room: RoomFor = newRoom): Uint8Array {
  const isOnlyMember = body[offset] === CLOSING_BRACE;
  const member = `"resourceVersion":"${resourceVersion}"${isOnlyMember ? "" : ","}`;
  const bytes = room(body.length + member.length);
  bytes.set(body.subarray(0, offset), 0);
  for (let i = 0; i < member.length; i++) bytes[offset + i] = member.charCodeAt(i);
  bytes.set(body.subarray(offset), offset + member.length);
  return bytes;
}

/** The served bytes of an object at another revision: what was spliced in is taken out again. */
export function atRevision(served: Uint8Array, revision: number, newRevision: number, room?: RoomFor): Uint8Array {
  const bytes = Buffer.from(served.buffer, served.byteOffset, served.byteLength);
  const [before, after] = [`"resourceVersion":"${revision}"`, `"resourceVersion":"${newRevision}"`];
  // It stands first in metadata, before anything that a user wrote.
  const start = bytes.indexOf(before);
  const behind = start + before.length;
  const moved = (room ?? newRoom)(bytes.length + after.length - before.length);
  moved.set(bytes.subarray(0, start));
  for (let i = 0; i < after.length; i++) moved[start + i] = after.charCodeAt(i);
  moved.set(bytes.subarray(behind), start + after.length);
  return moved;
}

/** The cause of a delete, put beside it in the same transaction. */
export interface DeleteCause {
  /** The store key of what was deleted. */
  readonly key: string;
  readonly writeId: string;
  readonly trace: TraceContext | undefined;
}

/**
 * Where a delete leaves its cause. There are 256 slots, chosen by the deleted key, each overwritten by the next delete
 * that falls into it: a watcher finds it in the delete's own revision, and the store does not grow.
 */
export function deleteCauseKey(key: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return `${DELETE_CAUSES}${((hash ^ (hash >>> 16)) & 0xff).toString(16).padStart(2, "0")}`;
}

export const DELETE_CAUSES = "/pilothouse/deletes/";

export function encodeDeleteCause({ key, writeId, trace }: DeleteCause): Uint8Array {
  return Buffer.from(
    JSON.stringify({ key, write: writeId, ...(trace ? { traceparent: formatTraceparent(trace) } : {}) }),
  );
}

/** Undefined for anything else than a delete's cause. */
export function decodeDeleteCause(value: Uint8Array): DeleteCause | undefined {
  const fields = parseFlatJson(value);
  if (typeof fields?.["key"] !== "string" || typeof fields["write"] !== "string") return undefined;
  return { key: fields["key"], writeId: fields["write"], trace: traceOf(fields["traceparent"]) };
}

const NEWLINE = 0x0a;
const CLOSING_BRACE = 0x7d;
const NONE: Readonly<Record<string, string>> = Object.freeze({});

/**
 * The object as its JSON is written, without resourceVersion. Kinds of the schema are written as Go would (field order, what is
 * left out); others with kind, apiVersion and metadata first and all other keys in order.
 */
function canonicalTree(object: ApiObject): ApiObject {
  const { kind, apiVersion, metadata, ...rest } = object;
  const { resourceVersion: _, ...storedMetadata } = metadata;
  const schema = schemaOf(apiVersion ?? "", kind ?? "");
  const tree = schema
    ? canonicalObject({ ...rest, kind, apiVersion, metadata: storedMetadata }, schema)
    : { ...(sorted(rest) as JsonObject), metadata: sorted(storedMetadata) };
  const { kind: _k, apiVersion: _v, metadata: canonicalMetadata, ...canonicalRest } = tree;
  return { kind, apiVersion, metadata: canonicalMetadata as ObjectMeta, ...canonicalRest } as ApiObject;
}

function sorted(value: unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(sorted);
  const source = value as JsonObject;
  const target: JsonObject = {};
  for (const key of Object.keys(source).sort()) setOwn(target, key, sorted(source[key]));
  return target;
}

/** Just behind `"metadata":{`. */
function spliceOffsetOf({ kind, apiVersion }: ApiObject): number {
  return Buffer.byteLength(JSON.stringify({ kind, apiVersion, metadata: {} })) - 2;
}

function parseTrailer(bytes: Uint8Array): Trailer | undefined {
  const fields = parseFlatJson(bytes);
  const { schema, write, splice: spliceOffset, traceparent } = fields ?? {};
  if (typeof schema !== "string" || typeof write !== "string" || typeof spliceOffset !== "number") return undefined;
  return { schema, writeId: write, trace: traceOf(traceparent), spliceOffset };
}

function traceOf(traceparent: unknown): TraceContext | undefined {
  return typeof traceparent === "string" ? parseTraceparent(traceparent) : undefined;
}

function parseFlatJson(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(textOf(bytes));
    return value !== null && typeof value === "object" ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}

function parseObject(bytes: Uint8Array): ApiObject {
  const text = textOf(bytes);
  // Written while there was a configuration for encryption, which is not there any more.
  if (text.startsWith(ENCRYPTED_PREFIX)) throw new UnreadableValue("identity transformer tried to read encrypted data");
  const value = parseJson(text);
  const metadata = (value as { metadata?: unknown } | null)?.metadata;
  if (metadata === null || typeof metadata !== "object") throw new UnreadableValue("the value is no API object");
  return value as ApiObject;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which may be a Secret's.
    throw new UnreadableValue("the value is not JSON");
  }
}

function withRevision(object: ApiObject, resourceVersion: number): ApiObject {
  const metadata: ObjectMeta = object.metadata;
  metadata.resourceVersion = String(resourceVersion);
  return object;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
