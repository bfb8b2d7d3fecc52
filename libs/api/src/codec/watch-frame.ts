/**
 * One event of a watch as it goes over the wire: a line of JSON, or a protobuf frame of a 4-byte big-endian length and a
 * message {1: type, 2: {1: enveloped object}}. Both splice in an object that is already encoded.
 */
import { DecodeError } from "./limits.ts";
import { BYTES, WireReader, WireWriter } from "./wire.ts";

export type WatchEventType = "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";

/**
 * `{"type":"ADDED","object":…}` and a newline; with `traceparent` (ours, for those who ask) between the two where the cause is
 * known.
 */
export function jsonWatchFrame(type: WatchEventType, objectJson: Uint8Array, traceparent?: string): Uint8Array {
  const head =
    traceparent === undefined
      ? HEADS[type]
      : encoder.encode(`{"type":${JSON.stringify(type)},"traceparent":${JSON.stringify(traceparent)},"object":`);
  const frame = new Uint8Array(head.length + objectJson.length + TAIL.length);
  frame.set(head);
  frame.set(objectJson, head.length);
  frame.set(TAIL, head.length + objectJson.length);
  return frame;
}

/** `enveloped` begins with `k8s\0`. */
export function protobufWatchFrame(type: WatchEventType, enveloped: Uint8Array): Uint8Array {
  const writer = new WireWriter();
  const mark = writer.position;
  writer.bytes(1, enveloped);
  writer.message(2, mark);
  writer.string(1, type);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, writer.position);
  writer.raw(length);
  return writer.finish();
}

/** One whole frame, its length included. `enveloped` is a view of it. */
export function readProtobufWatchFrame(frame: Uint8Array): {
  readonly type: string;
  readonly enveloped: Uint8Array;
} {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 4 || view.getUint32(0) !== frame.length - 4) throw new DecodeError("unexpected EOF");
  const reader = new WireReader(frame, 4);
  let type = "";
  let enveloped: Uint8Array = new Uint8Array();
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (number === 1 && wireType === BYTES) type = reader.string();
    else if (number === 2 && wireType === BYTES) enveloped = readRawExtension(reader.message());
    else reader.skip(wireType);
  }
  return { type, enveloped };
}

function readRawExtension(reader: WireReader): Uint8Array {
  let raw: Uint8Array = new Uint8Array();
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (number === 1 && wireType === BYTES) raw = reader.bytes();
    else reader.skip(wireType);
  }
  return raw;
}

const encoder = new TextEncoder();
const headOf = (type: WatchEventType): Uint8Array => encoder.encode(`{"type":"${type}","object":`);
const HEADS: Readonly<Record<WatchEventType, Uint8Array>> = {
  ADDED: headOf("ADDED"),
  MODIFIED: headOf("MODIFIED"),
  DELETED: headOf("DELETED"),
  BOOKMARK: headOf("BOOKMARK"),
  ERROR: headOf("ERROR"),
};
const TAIL = encoder.encode("}\n");
