import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  difference,
  differenceBelow,
  fieldSet,
  fieldSetOf,
  fromFieldsV1,
  intersection,
  LEAF,
  NO_FIELDS,
  pathsOf,
  sameFields,
  toFieldsV1,
  union,
  type FieldSet,
} from "./field-set.ts";

const element = fc.constantFrom("f:a", "f:b", 'k:{"name":"x"}', 'v:"x"', "v:1", "i:0");
const { set: anySet } = fc.letrec<{ set: FieldSet }>((tie) => ({
  set: fc
    .array(
      fc.tuple(
        element,
        fc.record({
          member: fc.boolean(),
          children: fc.oneof({ depthSize: "small" }, fc.constant(NO_FIELDS), tie("set")),
        }),
      ),
      { maxLength: 4 },
    )
    .map(fieldSet),
}));

describe("field sets", () => {
  it("survive the way through fieldsV1", () => {
    fc.assert(
      fc.property(anySet, (set) => {
        const json: unknown = JSON.parse(JSON.stringify(toFieldsV1(set)));
        expect(sameFields(fromFieldsV1(json) ?? NO_FIELDS, set)).toBe(true);
      }),
    );
  });

  it("are sets", () => {
    fc.assert(
      fc.property(anySet, anySet, (a, b) => {
        const [inA, inB] = [pathsOf(a), pathsOf(b)];
        expect(new Set(pathsOf(union(a, b)))).toEqual(new Set([...inA, ...inB]));
        expect(pathsOf(intersection(a, b))).toEqual(inA.filter((path) => inB.includes(path)));
        expect(pathsOf(difference(a, b))).toEqual(inA.filter((path) => !inB.includes(path)));
      }),
    );
  });

  it("are read however a client wrote a key, and refused if they are none", () => {
    const read = fromFieldsV1({ "f:ports": { 'k:{ "protocol":"TCP", "containerPort":80 }': {} } }) ?? NO_FIELDS;
    expect(pathsOf(read)).toEqual(['.ports[containerPort=80,protocol="TCP"]']);
    for (const wrong of [5, { x: {} }, { "f:a": 1 }, { "k:{": {} }, { "k:1": {} }, { "i:x": {} }])
      expect(fromFieldsV1(wrong)).toBeUndefined();
  });

  it("a field goes with all below it only where that is asked for", () => {
    const set = fieldSetOf(["status", "phase"], ["spec"]);
    const status = fieldSetOf(["status"]);
    expect(pathsOf(difference(set, status))).toEqual([".spec", ".status.phase"]);
    expect(pathsOf(differenceBelow(set, status))).toEqual([".spec"]);
    expect(pathsOf(new Map([['v:"x"', LEAF]]))).toEqual(['[="x"]']);
  });
});
