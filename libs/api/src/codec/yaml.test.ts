import { describe, expect, it } from "vitest";
import { DecodeError } from "./limits.ts";
import { encodeYaml, MAX_YAML_BYTES, parseYaml } from "./yaml.ts";

const parse = (text: string): unknown => parseYaml(new TextEncoder().encode(text));

describe("YAML", () => {
  it("reads scalars as Go's parser does", () => {
    expect(parse("a: yes\nb: off\nc: 0777\nd: 12:30:45\ne: 2026-01-01\nf: 1e3\ng: ~\nh: '1'\n1: x")).toEqual({
      a: true,
      b: false,
      c: 511,
      d: "12:30:45",
      e: "2026-01-01",
      f: 1000,
      g: null,
      h: "1",
      "1": "x",
    });
  });

  it("resolves anchors and merge keys into objects of their own", () => {
    const value = parse("base: &b {x: 1}\none: *b\ntwo: {<<: *b, z: 2}") as Record<string, unknown>;
    expect(value).toEqual({ base: { x: 1 }, one: { x: 1 }, two: { x: 1, z: 2 } });
    expect(value["one"]).not.toBe(value["base"]);
  });

  it("takes JSON, flow style, and the first of several documents", () => {
    expect(parse(` {"a":[1,null]}`)).toEqual({ a: [1, null] });
    expect(parse("{a: [x, z]}")).toEqual({ a: ["x", "z"] });
    expect(parse("a: 1\n---\nb: 2\n")).toEqual({ a: 1 });
    expect(parse("")).toBeNull();
  });

  it.each([
    ["a: 1\nb: c: 2", "error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this context"],
    ["a: 1\na: 2", 'error converting YAML to JSON: yaml: unmarshal errors:\n  line 2: key "a" already set in map'],
    ["a:\n\tb: 1", "error converting YAML to JSON: yaml: line 2: found character that cannot start any token"],
  ])("says in Go's words what is wrong: %j", (text, message) => {
    expect(() => parse(text)).toThrow(new DecodeError(message));
  });

  it("refuses bombs", () => {
    const levels = Array.from({ length: 12 }, (_, n) => `l${n + 1}: &l${n + 1} [${`*l${n}, `.repeat(9)}*l${n}]`);
    expect(() => parse(`l0: &l0 x\n${levels.join("\n")}`)).toThrow(DecodeError);
    expect(() => parse("[".repeat(100_000))).toThrow(DecodeError);
    expect(() => parse(Array.from({ length: 3000 }, (_, n) => `${" ".repeat(n)}a:\n`).join(""))).toThrow(DecodeError);
  });

  it("takes time in proportion to the size (the parser's own check for unique keys took minutes for this)", () => {
    const keys = Array.from({ length: 10_000 }, (_, n) => `  k${n}: x\n`).join("");
    expect(Object.keys((parse(`data:\n${keys}`) as { data: object }).data)).toHaveLength(10_000);
  });

  it("refuses keys that are no scalars: written as text, each holds all those below it", () => {
    for (const text of ["? ".repeat(900), "? {a: b}\n: c\n", "a: &a [x]\n*a : b\n"])
      expect(() => parse(text)).toThrow("yaml: invalid map key");
    expect(parse("a: &a x\n*a : b\n")).toEqual({ a: "x", x: "b" });
  });

  it("refuses aliases that stand for much more than the document holds", () => {
    const much = `a: &a [${"x,".repeat(2_000)}x]\nb: [${"*a,".repeat(400)}*a]\n`;
    expect(() => parse(much)).toThrow("document contains excessive aliasing");
  });

  it("takes large documents as JSON only, in and out", () => {
    const large = { data: "x".repeat(MAX_YAML_BYTES) };
    expect(() => parse(`data: ${large.data}\n`)).toThrow("send it as JSON");
    expect(parse(JSON.stringify(large))).toEqual(large);
    expect(parse(new TextDecoder().decode(encodeYaml(large)))).toEqual(large);
  });

  it("writes what it reads", () => {
    const value = { a: "yes", b: ["1", 1, true, null], c: { d: "x\ny" }, e: "2026-01-01" };
    expect(parse(new TextDecoder().decode(encodeYaml(value)))).toEqual(value);
  });
});
