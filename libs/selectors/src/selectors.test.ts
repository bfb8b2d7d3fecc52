import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  fieldSelectorToString,
  formatLabelSelector,
  labelSelectorOf,
  labelSelectorOfMap,
  labelSelectorToString,
  matchesFields,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
  requiredFieldValue,
  requiredLabelValue,
  requireSupportedFields,
  selectsEverything,
  validateLabelSelector,
} from "./index.ts";

describe("label selectors in a query", () => {
  const pod = { app: "web", tier: "front", version: "12" };

  it.each([
    ["", true],
    ["app=web", true],
    ["app==web", true],
    ["app=db", false],
    ["app!=db", true],
    ["app!=web", false],
    ["other!=x", true],
    ["app in (web, db)", true],
    ["app in (db)", false],
    ["app notin (db),tier", true],
    ["other notin (db)", true],
    ["app", true],
    ["!app", false],
    ["!other", true],
    ["other", false],
    ["version>9", true],
    ["version<9", false],
    ["app>1", false],
    ["app=web,tier=back", false],
    ["  app =  web , tier in( front )", true],
    ["other in ()", false],
    ["app=", false],
    ["constructor", false],
  ])("%j on a pod: %s", (text, matches) => {
    expect(matchesLabels(parseLabelSelector(text), pod)).toBe(matches);
  });

  it("an empty value is a value", () => {
    expect(matchesLabels(parseLabelSelector("app="), { app: "" })).toBe(true);
    expect(matchesLabels(parseLabelSelector("app in (,a)"), { app: "" })).toBe(true);
    expect(matchesLabels(parseLabelSelector("app in ()"), {})).toBe(false);
  });

  it.each([
    ["x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"],
    ["b=1,a=2", "a=2,b=1"],
    ["in in (in),notin=notin", "in in (in),notin=notin"],
    ["x==a,y!=b,!z,w>1,v<2", "v<2,w>1,x==a,y!=b,!z"],
    ["x in (a,a)", "x in (a)"],
    ["x in (a,)", "x in (,a)"],
  ])("%s is canonically %s", (text, canonical) => {
    expect(labelSelectorToString(parseLabelSelector(text))).toBe(canonical);
  });

  it.each([
    [",", "found ',', expected: !, identifier, or 'end of string'"],
    ["a,", "found '', expected: identifier after ','"],
    ["a=b c", "found 'c', expected: ',' or 'end of string'"],
    ["!a=b", "found '=', expected: ',' or 'end of string'"],
    ["a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ["a in b", "unable to parse requirement: found 'b' expected: '('"],
    ["a in (b", "unable to parse requirement: found '', expected: ',' or ')'"],
    ["a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"],
    ["a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"],
    ["a==!b", "unable to parse requirement: found '!', expected: identifier"],
    ["!", "unable to parse requirement: found '', expected: identifier"],
    [
      "a>x",
      "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
    ],
    [
      "-a=b",
      "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ],
    [
      "a=b+c",
      "unable to parse requirement: values[0][a]: Invalid value: \"b+c\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ],
  ])("%s is refused", (text, message) => {
    expect(() => parseLabelSelector(text)).toThrow(expect.objectContaining({ message, code: 400 }));
  });

  it("the string of a selector parses to the same selector", () => {
    const word = fc.stringMatching(/^[a-z][a-z0-9]{0,4}$/);
    const term = fc.oneof(
      word,
      word.map((key) => `!${key}`),
      fc.tuple(word, fc.constantFrom("=", "==", "!="), word).map((parts) => parts.join("")),
      fc.tuple(word, fc.constantFrom(" in ", " notin "), fc.array(word)).map(([k, op, v]) => `${k}${op}(${v.join()})`),
    );
    fc.assert(
      fc.property(fc.array(term), (terms) => {
        const selector = parseLabelSelector(terms.join(","));
        expect(parseLabelSelector(labelSelectorToString(selector))).toEqual(selector);
      }),
    );
  });

  it("no text does worse than 400", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("a", "in", "notin", ",", "=", "!", "(", ")", " ", ">", "é") }),
        (text) => {
          try {
            parseLabelSelector(text);
          } catch (error) {
            expect(error).toMatchObject({ code: 400 });
          }
        },
      ),
    );
  });
});

describe("label selectors of objects", () => {
  it("none selects nothing, an empty one everything", () => {
    expect(matchesLabels(labelSelectorOf(undefined), {})).toBe(false);
    expect(matchesLabels(labelSelectorOf({}), {})).toBe(true);
    expect(selectsEverything(labelSelectorOf({}))).toBe(true);
    expect(selectsEverything(labelSelectorOf(undefined))).toBe(false);
  });

  it("labels and expressions must all hold", () => {
    const selector = labelSelectorOf({
      matchLabels: { app: "web" },
      matchExpressions: [
        { key: "tier", operator: "In", values: ["front", "back"] },
        { key: "legacy", operator: "DoesNotExist" },
      ],
    });
    expect(matchesLabels(selector, { app: "web", tier: "back" })).toBe(true);
    expect(matchesLabels(selector, { app: "web", tier: "back", legacy: "" })).toBe(false);
    expect(labelSelectorToString(selector)).toBe("app=web,!legacy,tier in (back,front)");
    expect(requiredLabelValue(selector, "app")).toBe("web");
    expect(requiredLabelValue(selector, "tier")).toBeUndefined();
  });

  it("kubectl shows <none> where nothing is restricted", () => {
    expect(formatLabelSelector({})).toBe("<none>");
    expect(formatLabelSelector({ matchLabels: { a: "b" } })).toBe("a=b");
    expect(labelSelectorToString(labelSelectorOfMap({ b: "1", a: "2" }))).toBe("a=2,b=1");
  });

  it("an unknown operator is named", () => {
    expect(() => labelSelectorOf({ matchExpressions: [{ key: "a", operator: "Near" }] })).toThrow(
      '"Near" is not a valid label selector operator',
    );
    expect(() => labelSelectorOf({ matchExpressions: [{ key: "a", operator: "In", values: [] }] })).toThrow(
      "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
    );
  });

  it("validation finds every fault", () => {
    const problems = validateLabelSelector(
      {
        matchLabels: { "a b": "c" },
        matchExpressions: [
          { key: "a", operator: "In" },
          { key: "a", operator: "Exists", values: ["b"] },
          { key: "a", operator: "Near", values: ["-"] },
        ],
      },
      "spec.selector",
    );
    expect(Array.from(problems, ({ type, field }) => `${type} ${field}`)).toEqual([
      "FieldValueInvalid spec.selector.matchLabels",
      "FieldValueRequired spec.selector.matchExpressions[0].values",
      "FieldValueForbidden spec.selector.matchExpressions[1].values",
      "FieldValueInvalid spec.selector.matchExpressions[2].operator",
      "FieldValueInvalid spec.selector.matchExpressions[2].values[0]",
    ]);
  });
});

describe("field selectors", () => {
  const fields = { "metadata.name": "web", "status.phase": "Running", odd: "a,b=c\\d" };

  it.each([
    ["", true],
    ["metadata.name=web", true],
    ["metadata.name==web,status.phase!=Failed", true],
    ["metadata.name!=web", false],
    ["status.phase=", false],
    ["spec.nodeName=", true],
    ["odd=a\\,b\\=c\\\\d", true],
    [",metadata.name=web,", true],
  ])("%j: %s", (text, matches) => {
    expect(matchesFields(parseFieldSelector(text), fields)).toBe(matches);
  });

  it.each([
    ["metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"],
    ["a=b=c", "invalid field selector: unescaped character in value: 61"],
    ["a=b\\c", "invalid field selector: invalid escape sequence: \\c"],
    ["a=b\\", "invalid field selector: invalid escape sequence: \\"],
  ])("%s is refused", (text, message) => {
    expect(() => parseFieldSelector(text)).toThrow(expect.objectContaining({ message, code: 400 }));
  });

  it("says which fields cannot be selected", () => {
    const selector = parseFieldSelector("spec.foo=1");
    expect(() => requireSupportedFields(selector, ["spec.nodeName"])).toThrow("field label not supported: spec.foo");
    expect(() => requireSupportedFields(selector, undefined)).toThrow(
      '"spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace"',
    );
    expect(() => requireSupportedFields(parseFieldSelector("metadata.name=x,spec.foo=1"), ["spec.foo"])).not.toThrow();
    expect(requiredFieldValue(parseFieldSelector("metadata.name=x"), "metadata.name")).toBe("x");
    expect(requiredFieldValue(parseFieldSelector("metadata.name!=x"), "metadata.name")).toBeUndefined();
  });

  it("any value survives the way through a string", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("a", ",", "=", "\\", "!", "é") }), (value) => {
        const selector = [{ field: "metadata.name", operator: "=" as const, value }];
        expect(parseFieldSelector(fieldSelectorToString(selector))).toEqual(selector);
      }),
    );
  });
});
