/**
 * The Kubernetes API as data: one schema that decodes, prunes, encodes and documents.
 *
 * Promises: pure and synchronous, no I/O; the structure of every kind of v1.36 (facts.json) on the wire as upstream writes it,
 * in JSON, YAML and protobuf; hostile input ends in a DecodeError, never in a crash or a stall.
 * Non-promises: what fields mean (defaults, validation, columns) is @pilothouse/kinds'; merging is @pilothouse/patch's.
 * Limits: MAX_DEPTH levels of nesting; sizes are limited by the door, before these functions see the bytes.
 */
export * from "./schema.ts";
export * from "./codec/json.ts";
export { cannotBeHandledText, DecodeError, MAX_DEPTH, strictDecodingText } from "./codec/limits.ts";
export { canonicalObject } from "./codec/canonical.ts";
export { fitToSchema, isJsonObject, type JsonObject } from "./codec/fit.ts";
export * from "./codec/protobuf.ts";
export * from "./codec/watch-frame.ts";
export * from "./codec/yaml.ts";
export { dropZeros } from "./codec/zeros.ts";
export * from "./media.ts";
