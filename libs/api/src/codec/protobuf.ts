/**
 * Protobuf in and out: an object's message inside Kubernetes' envelope, `k8s\0` and {1: {1: apiVersion, 2: kind}, 2: raw,
 * 3: contentEncoding, 4: contentType}.
 *
 * Promises: what upstream wrote decodes to what upstream's JSON says, and encodes to the same bytes; truncated, malformed and
 * deeply nested input ends in a DecodeError. Non-promises: unknown fields are skipped without report, as upstream does.
 */
import type { StructureSchema } from "../schema.ts";
import type { JsonObject } from "./fit.ts";
import { decodeMessage, MAGIC, readEnvelope } from "./protobuf-decode.ts";
import { encodeMessage } from "./protobuf-encode.ts";
import { BYTES, WireWriter } from "./wire.ts";

export { readEnvelope, type Envelope } from "./protobuf-decode.ts";

/** An object with the kind and apiVersion that its envelope states, whatever the schema's own kind is called. */
export function decodeProtobuf(bytes: Uint8Array, schema: StructureSchema): JsonObject {
  const { apiVersion, kind, raw } = readEnvelope(bytes);
  const object = decodeMessage(raw, schema);
  return { ...(kind === "" ? {} : { kind }), ...(apiVersion === "" ? {} : { apiVersion }), ...object };
}

/** The object must carry its apiVersion and kind: they go into the envelope. */
export function encodeProtobuf(object: JsonObject, schema: StructureSchema): Uint8Array {
  const { apiVersion, kind } = object;
  const raw = encodeMessage(object, schema);
  return envelop(typeof apiVersion === "string" ? apiVersion : "", typeof kind === "string" ? kind : "", raw);
}

/** Wraps a message that is already encoded. */
export function envelop(apiVersion: string, kind: string, raw: Uint8Array): Uint8Array {
  const { head, tail } = envelopeOf(apiVersion, kind, raw.length);
  return Buffer.concat([head, raw, tail]);
}

/** What stands before and behind a message of `rawBytes`. */
export function envelopeOf(
  apiVersion: string,
  kind: string,
  rawBytes: number,
): { readonly head: Uint8Array; readonly tail: Uint8Array } {
  const head = new WireWriter();
  head.varint(rawBytes);
  head.tag(2, BYTES);
  const mark = head.position;
  head.string(2, kind);
  head.string(1, apiVersion);
  head.message(1, mark);
  head.raw(MAGIC);
  const tail = new WireWriter();
  tail.string(4, "");
  tail.string(3, "");
  return { head: head.finish(), tail: tail.finish() };
}
