import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyJsonPatch } from "./json-patch.ts";
import { applyMergePatch } from "./merge-patch.ts";

const REFUSED = {
  code: 422,
  reason: "Invalid",
  message: "the server rejected our request due to an error in our request",
};

describe("JSON Patch (the RFC's examples, and upstream's liberties)", () => {
  it.each([
    [{ foo: "bar" }, [{ op: "add", path: "/baz", value: "qux" }], { baz: "qux", foo: "bar" }],
    [{ foo: ["bar", "baz"] }, [{ op: "add", path: "/foo/1", value: "qux" }], { foo: ["bar", "qux", "baz"] }],
    [{ foo: ["bar"] }, [{ op: "add", path: "/foo/-", value: ["x"] }], { foo: ["bar", ["x"]] }],
    [{ foo: ["bar"] }, [{ op: "add", path: "/foo/-1", value: "x" }], { foo: ["bar", "x"] }],
    [{ baz: "qux", foo: "bar" }, [{ op: "remove", path: "/baz" }], { foo: "bar" }],
    [{ foo: ["a", "b"] }, [{ op: "remove", path: "/foo/-1" }], { foo: ["a"] }],
    [{ foo: ["a", "b", "c"] }, [{ op: "remove", path: "/foo/1" }], { foo: ["a", "c"] }],
    [{ baz: "qux" }, [{ op: "replace", path: "/baz", value: "boo" }], { baz: "boo" }],
    [{ foo: [1, 2] }, [{ op: "replace", path: "/foo/0", value: 3 }], { foo: [3, 2] }],
    [{ a: { x: 1 }, b: {} }, [{ op: "move", from: "/a/x", path: "/b/y" }], { a: {}, b: { y: 1 } }],
    [{ foo: [1, 2, 3] }, [{ op: "move", from: "/foo/0", path: "/foo/2" }], { foo: [2, 3, 1] }],
    [{ a: { x: 1 } }, [{ op: "copy", from: "/a", path: "/b" }], { a: { x: 1 }, b: { x: 1 } }],
    [{ a: [1, { b: 2 }] }, [{ op: "test", path: "/a", value: [1, { b: 2 }] }], { a: [1, { b: 2 }] }],
    [{ a: 1 }, [{ op: "test", path: "/b", value: null }], { a: 1 }],
    [
      { "a/b": 1, "m~n": 2 },
      [
        { op: "remove", path: "/a~1b" },
        { op: "remove", path: "/m~0n" },
      ],
      {},
    ],
    [{ a: 1 }, [{ op: "replace", path: "", value: { b: 2 } }], { b: 2 }],
    [{ a: 1 }, [], { a: 1 }],
  ])("%j and %j give %j", (document, patch, result) => {
    const before = structuredClone(document);
    expect(applyJsonPatch(document, patch)).toEqual(result);
    expect(document).toEqual(before);
  });

  it.each([
    [[{ op: "test", path: "/a", value: 2 }]],
    [[{ op: "remove", path: "/missing" }]],
    [[{ op: "replace", path: "/missing", value: 1 }]],
    [[{ op: "add", path: "/missing/x", value: 1 }]],
    [[{ op: "add", path: "/list/5", value: 1 }]],
    [[{ op: "add", path: "/list/x", value: 1 }]],
    [[{ op: "add", path: "/a/x", value: 1 }]],
    [[{ op: "add", path: "a", value: 1 }]],
    [[{ op: "move", from: "/o", path: "/o/in/itself" }]],
    [[{ op: "copy", from: "/missing", path: "/b" }]],
    [[{ op: "spam", path: "/a" }]],
    [[{ path: "/a" }]],
    [[{ op: "remove", path: "/constructor" }]],
  ])("%j does not apply", (patch) => {
    expect(() => applyJsonPatch({ a: 1, list: [1], o: {} }, patch)).toThrow(expect.objectContaining(REFUSED));
  });

  it("what is no patch is told so", () => {
    expect(() => applyJsonPatch({}, { op: "add" })).toThrow(
      "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
    );
    const many = Array.from({ length: 10_001 }, () => ({ op: "test", path: "/a", value: null }));
    expect(() => applyJsonPatch({}, many)).toThrow(
      expect.objectContaining({
        code: 413,
        message: "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
      }),
    );
  });

  it("a copy and its source go separate ways afterwards", () => {
    const patch = [
      { op: "add", path: "/a/new", value: {} },
      { op: "copy", from: "/a", path: "/b" },
      { op: "add", path: "/a/new/x", value: 1 },
    ];
    expect(applyJsonPatch({ a: {} }, patch)).toEqual({ a: { new: { x: 1 } }, b: { new: {} } });
  });

  it("doubling a document again and again ends early", () => {
    const patch = Array.from({ length: 100 }, (_, i) => ({ op: "copy", from: "", path: `/copy${i}` }));
    expect(() => applyJsonPatch({ text: "x".repeat(1000) }, patch)).toThrow(expect.objectContaining(REFUSED));
  });

  it("nesting ends early", () => {
    const patch = Array.from({ length: 5000 }, () => [
      { op: "add", path: "/b", value: {} },
      { op: "move", from: "/a", path: "/b/a" },
      { op: "move", from: "/b", path: "/a" },
    ]).flat();
    expect(() => applyJsonPatch({ a: {} }, patch.slice(0, 9_999))).toThrow(expect.objectContaining(REFUSED));
  });

  it("reaches no prototype", () => {
    const patched = applyJsonPatch({}, [{ op: "add", path: "/__proto__", value: { polluted: true } }]) as object;
    expect(Object.keys(patched)).toEqual(["__proto__"]);
    expect("polluted" in patched).toBe(false);
    expect(() => applyJsonPatch({}, [{ op: "add", path: "/__proto__/polluted", value: true }])).toThrow();
    expect(() => applyJsonPatch({}, [{ op: "add", path: "/constructor/prototype/x", value: true }])).toThrow();
    expect("polluted" in {}).toBe(false);
  });

  it("10,000 operations on a long list take no time", () => {
    const list = Array.from({ length: 10_000 }, (_, i) => i);
    const patch = Array.from({ length: 10_000 }, (_, i) => ({ op: "replace", path: `/list/${i}`, value: -i }));
    expect((applyJsonPatch({ list }, patch) as { list: number[] }).list.at(-1)).toBe(-9_999);
  });
});

describe("JSON Merge Patch (the RFC's table)", () => {
  it.each([
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])("%j and %j give %j", (target, patch, result) => {
    expect(applyMergePatch(target, patch)).toEqual(result);
  });

  it("refuses what is no object, and reaches no prototype", () => {
    expect(() => applyMergePatch({}, [1])).toThrow(
      expect.objectContaining({ code: 400, message: "Invalid JSON Patch" }),
    );
    const patched = applyMergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}'));
    expect("polluted" in patched).toBe(false);
    expect(Object.keys(patched)).toEqual(["__proto__"]);
  });
});

const pointer = fc.array(fc.constantFrom("a", "b", "0", "1", "-", "-1", "__proto__", "constructor"), { maxLength: 3 });
const operation = fc.record(
  {
    op: fc.constantFrom("add", "remove", "replace", "move", "copy", "test", "other"),
    path: pointer.map((tokens) => tokens.map((token) => `/${token}`).join("")),
    from: pointer.map((tokens) => tokens.map((token) => `/${token}`).join("")),
    value: fc.jsonValue({ maxDepth: 2 }),
  },
  { requiredKeys: ["op", "path"] },
);
const document = fc.dictionary(fc.constantFrom("a", "b"), fc.jsonValue({ maxDepth: 3 }));

describe("properties", () => {
  it("whatever the patch: a result or a StatusError, and an unchanged document", () => {
    fc.assert(
      fc.property(document, fc.array(operation, { maxLength: 6 }), (object, patch) => {
        const before = JSON.stringify(object);
        try {
          applyJsonPatch(object, patch);
        } catch (error) {
          expect(error).toMatchObject({ name: "StatusError" });
        }
        expect(JSON.stringify(object)).toBe(before);
      }),
    );
  });

  it("a merge patch changes nothing but its result", () => {
    fc.assert(
      fc.property(document, document, (object, patch) => {
        const before = JSON.stringify([object, patch]);
        applyMergePatch(object, patch);
        expect(JSON.stringify([object, patch])).toBe(before);
      }),
    );
  });
});
