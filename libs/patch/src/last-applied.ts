/** The annotation that client-side apply keeps, and the way from there to server-side apply and back. */
import { isJsonObject, MAX_DEPTH, type JsonObject } from "@pilothouse/api";
import { NO_FIELDS, type FieldSet } from "./field-set.ts";
import { isDeeperThan, own } from "./json.ts";
import { withoutChanged, type Write } from "./ownership.ts";
import { rootType } from "./shape.ts";
import { compare, fieldsOf } from "./structured.ts";

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";
const MAX_ANNOTATION_BYTES = 256 * 1024;

/**
 * The fields that `kubectl apply --server-side` takes over, without a fight, from an object of client-side apply: what the
 * annotation says was applied and nobody has changed since.
 */
export function fieldsLastApplied(live: JsonObject | undefined, write: Write): FieldSet {
  const annotation = live && lastAppliedOf(live);
  if (write.manager !== "kubectl" || annotation === undefined) return NO_FIELDS;
  const lastApplied = parsedObject(annotation);
  if (!lastApplied) return NO_FIELDS;
  const type = rootType(write.structure);
  return withoutChanged(fieldsOf(lastApplied, type), compare(lastApplied, live, type));
}

/** Keeps the annotation of client-side apply true, for those who will go back to it. */
export function withLastApplied(
  object: JsonObject,
  live: JsonObject | undefined,
  applied: JsonObject,
  write: Write,
): JsonObject {
  if (write.manager !== "kubectl" || !live || lastAppliedOf(live) === undefined) return object;
  const { [LAST_APPLIED]: _, ...appliedAnnotations } = annotationsOf(applied);
  const appliedMetadata = own(applied, "metadata") as JsonObject;
  const value = `${JSON.stringify({ ...applied, metadata: { ...appliedMetadata, annotations: appliedAnnotations } })}\n`;
  const { [LAST_APPLIED]: __, ...others } = annotationsOf(object);
  const annotations = Buffer.byteLength(value) > MAX_ANNOTATION_BYTES ? others : { ...others, [LAST_APPLIED]: value };
  return { ...object, metadata: { ...(own(object, "metadata") as JsonObject), annotations } };
}

function lastAppliedOf(object: JsonObject): string | undefined {
  const value = annotationsOf(object)[LAST_APPLIED];
  return typeof value === "string" ? value : undefined;
}

function annotationsOf(object: JsonObject): JsonObject {
  const metadata = own(object, "metadata");
  const annotations = isJsonObject(metadata) ? own(metadata, "annotations") : undefined;
  return isJsonObject(annotations) ? annotations : {};
}

function parsedObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) && !isDeeperThan(value, MAX_DEPTH) ? value : undefined;
  } catch {
    return undefined;
  }
}
