/** A document of OpenAPI v3 as the protobuf message `openapi.v3.Document` of gnostic, which client-go can ask for. */
import { WireWriter } from "@pilothouse/api/codec/wire";
import {
  each,
  extensions,
  inside,
  message,
  named,
  text,
  truth,
  writeFields,
  type Fields,
  type Write,
} from "./protobuf-fields.ts";
import type { JsonObject } from "./schemas.ts";

export function v3DocumentProtobuf(document: JsonObject): Uint8Array {
  const writer = new WireWriter();
  writeFields(writer, document, DOCUMENT);
  return writer.finish();
}

/** Either the schema itself or `$ref` to one. */
const schema: Write = (writer, number, value) => {
  const isReference = (value as JsonObject)["$ref"] !== undefined;
  inside(isReference ? 2 : 1, message(isReference ? REFERENCE : SCHEMA))(writer, number, value);
};

const REFERENCE: Fields = () => [[1, "$ref", text]];

/** What is no scalar has no place in the message. */
const scalar: Write = (writer, number, value) => {
  if (typeof value === "boolean") inside(2, truth)(writer, number, value);
  else if (typeof value === "string") inside(3, text)(writer, number, value);
};

/** `true` or `false` instead of a schema: whatever, or nothing. */
const additional: Write = (writer, number, value) =>
  typeof value === "boolean" ? inside(2, truth)(writer, number, value) : inside(1, schema)(writer, number, value);

const SCHEMA: Fields = () => [
  [20, "uniqueItems", truth],
  [23, "required", each(text)],
  [25, "type", text],
  [26, "allOf", each(schema)],
  [27, "oneOf", each(schema)],
  [30, "items", inside(1, schema)],
  [31, "properties", inside(1, named(schema))],
  [32, "additionalProperties", additional],
  [33, "default", scalar],
  [34, "description", text],
  [35, "format", text],
  [36, "", extensions],
];

const PARAMETER: Fields = () => [
  [1, "name", text],
  [2, "in", text],
  [3, "description", text],
  [4, "required", truth],
  [10, "schema", schema],
];

const parameter = inside(1, message(PARAMETER));

/** By media type. */
const content = inside(1, named(message(() => [[1, "schema", schema]])));

const BODY: Fields = () => [
  [1, "description", text],
  [2, "content", content],
  [3, "required", truth],
];

const RESPONSE: Fields = () => [
  [1, "description", text],
  [3, "content", content],
];

const OPERATION: Fields = () => [
  [1, "tags", each(text)],
  [3, "description", text],
  [5, "operationId", text],
  [6, "parameters", each(parameter)],
  [7, "requestBody", inside(1, message(BODY))],
  [8, "responses", inside(2, named(inside(1, message(RESPONSE))))],
  [13, "", extensions],
];

const PATH_ITEM: Fields = () => [
  [4, "get", message(OPERATION)],
  [5, "put", message(OPERATION)],
  [6, "post", message(OPERATION)],
  [7, "delete", message(OPERATION)],
  [8, "options", message(OPERATION)],
  [9, "head", message(OPERATION)],
  [10, "patch", message(OPERATION)],
  [13, "parameters", each(parameter)],
];

const SECURITY_SCHEME: Fields = () => [
  [1, "type", text],
  [2, "description", text],
  [3, "name", text],
  [4, "in", text],
];

const COMPONENTS: Fields = () => [
  [1, "schemas", inside(1, named(schema))],
  [7, "securitySchemes", inside(1, named(inside(1, message(SECURITY_SCHEME))))],
];

const INFO: Fields = () => [
  [1, "title", text],
  [6, "version", text],
];

const DOCUMENT: Fields = () => [
  [1, "openapi", text],
  [2, "info", message(INFO)],
  [4, "paths", inside(1, named(message(PATH_ITEM)))],
  [5, "components", message(COMPONENTS)],
  [6, "security", each(inside(1, named(inside(1, each(text)))))],
];
