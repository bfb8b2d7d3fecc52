/** The OpenAPI v2 document as the protobuf message `openapi.v2.Document`, which kubectl up to 1.27 asks for (wire trap 3). */
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

export function v2DocumentProtobuf(document: JsonObject): Uint8Array {
  const writer = new WireWriter();
  writeFields(writer, document, DOCUMENT);
  return writer.finish();
}

const parameter: Write = (writer, number, value) => {
  const { in: place } = value as JsonObject;
  const typed: Fields = () => [
    [1, "required", truth],
    [2, "in", text],
    [3, "description", text],
    [4, "name", text],
    [place === "query" ? 6 : 5, "type", text],
    [place === "query" ? 20 : 19, "uniqueItems", truth],
  ];
  const body: Fields = () => [
    [1, "description", text],
    [2, "name", text],
    [3, "in", text],
    [4, "required", truth],
    [5, "schema", schema],
  ];
  const choice =
    place === "body" ? inside(1, message(body)) : inside(2, inside(place === "query" ? 3 : 4, message(typed)));
  inside(1, choice)(writer, number, value);
};

const types: Write = (writer, number, value) => inside(1, text)(writer, number, value);

const schema: Write = (writer, number, value) => message(SCHEMA)(writer, number, value);

const SCHEMA: Fields = () => [
  [1, "$ref", text],
  [2, "format", text],
  [4, "description", text],
  [19, "required", each(text)],
  [21, "additionalProperties", inside(1, schema)],
  [22, "type", types],
  [23, "items", inside(1, schema)],
  [25, "properties", inside(1, named(schema))],
  [31, "", extensions],
];

const RESPONSE: Fields = () => [
  [1, "description", text],
  [2, "schema", inside(1, schema)],
];

const OPERATION: Fields = () => [
  [1, "tags", each(text)],
  [3, "description", text],
  [5, "operationId", text],
  [6, "produces", each(text)],
  [7, "consumes", each(text)],
  [8, "parameters", each(parameter)],
  [9, "responses", inside(1, named(inside(1, message(RESPONSE))))],
  [10, "schemes", each(text)],
  [13, "", extensions],
];

const PATH_ITEM: Fields = () => [
  [2, "get", message(OPERATION)],
  [3, "put", message(OPERATION)],
  [4, "post", message(OPERATION)],
  [5, "delete", message(OPERATION)],
  [8, "patch", message(OPERATION)],
  [9, "parameters", each(parameter)],
];

const API_KEY: Fields = () => [
  [1, "type", text],
  [2, "name", text],
  [3, "in", text],
  [4, "description", text],
];

const DOCUMENT: Fields = () => [
  [1, "swagger", text],
  [
    2,
    "info",
    message(() => [
      [1, "title", text],
      [2, "version", text],
    ]),
  ],
  [8, "paths", inside(2, named(message(PATH_ITEM)))],
  [9, "definitions", inside(1, named(schema))],
  [12, "security", each(inside(1, named(inside(1, each(text)))))],
  [13, "securityDefinitions", inside(1, named(inside(2, message(API_KEY))))],
];
