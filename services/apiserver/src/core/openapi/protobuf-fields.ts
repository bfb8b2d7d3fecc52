/** How parts of a JSON document become fields of protobuf messages: what OpenAPI's messages of v2 and v3 are made of. */
import type { WireWriter } from "@pilothouse/api/codec/wire";
import type { JsonObject } from "./schemas.ts";

/** Writes one value as field `number`. The writer fills backwards: what comes last in the message is written first. */
export type Write = (writer: WireWriter, number: number, value: unknown) => void;
/** The fields of a message by ascending number: number, key in the JSON document, how it is written. */
export type Fields = () => readonly (readonly [number: number, key: string, write: Write])[];

export function writeFields(writer: WireWriter, object: JsonObject, fields: Fields): void {
  for (const [number, key, write] of [...fields()].reverse()) {
    const value = key === "" ? object : object[key];
    if (value !== undefined) write(writer, number, value);
  }
}

export const text: Write = (writer, number, value) => writer.string(number, value as string);
export const truth: Write = (writer, number, value) => writer.integer(number, value === true ? 1 : 0);

export function message(fields: Fields): Write {
  return (writer, number, value) => {
    const mark = writer.position;
    writeFields(writer, value as JsonObject, fields);
    writer.message(number, mark);
  };
}

export function each(write: Write): Write {
  return (writer, number, value) => {
    for (const element of [...(value as readonly unknown[])].reverse()) write(writer, number, element);
  };
}

/** A map as repeated {1: name, 2: value}. */
export function named(write: Write): Write {
  return (writer, number, value) => {
    for (const [name, member] of Object.entries(value as JsonObject).reverse()) {
      const mark = writer.position;
      write(writer, 2, member);
      writer.string(1, name);
      writer.message(number, mark);
    }
  };
}

/** A message whose only field holds the value. */
export function inside(number: number, write: Write): Write {
  return message(() => [[number, "", write]]);
}

/** `x-…` members as {1: name, 2: {2: YAML}}; JSON is YAML. */
export const extensions: Write = (writer, number, value) => {
  const members = Object.entries(value as JsonObject).filter(([key]) => key.startsWith("x-"));
  const yaml: Write = (inner, at, member) => inner.string(at, JSON.stringify(member));
  named(inside(2, yaml))(writer, number, Object.fromEntries(members));
};
