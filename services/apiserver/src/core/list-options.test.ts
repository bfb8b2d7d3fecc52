/** Every mix of what LIST, GET and WATCH can be asked by, against upstream's tables (API Concepts, ValidateListOptions). */
import { StatusError } from "@pilothouse/errors";
import { describe, expect, test } from "vitest";
import { formatContinueToken } from "./continue-token.ts";
import { listOptionsOf, parseResourceVersion, watchOptionsOf } from "./list-options.ts";

const TOKEN = formatContinueToken({ revision: 50, start: "shop/b\0" });

const MIX = [
  ["resourceVersion", ["", "0", "100"]],
  ["resourceVersionMatch", ["", "Exact", "NotOlderThan", "Newest"]],
  ["limit", ["", "0", "5"]],
  ["continue", ["", TOKEN]],
  ["sendInitialEvents", ["", "true", "false"]],
  ["allowWatchBookmarks", ["", "true"]],
] as const;

function* mixes(rows: readonly (readonly [string, readonly string[]])[]): Generator<Readonly<Record<string, string>>> {
  const [first, ...rest] = rows;
  if (!first) {
    yield {};
    return;
  }
  const [name, values] = first;
  for (const value of values)
    for (const more of mixes(rest)) yield { ...(value === "" ? {} : { [name]: value }), ...more };
}

const answer = (read: (query: URLSearchParams) => object, asked: Readonly<Record<string, string>>): object => {
  try {
    return read(new URLSearchParams(asked));
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    return { refused: error.code, message: error.message };
  }
};

const FIELD = "resourceVersionMatch";
const invalid = (problems: readonly string[]) => ({
  refused: 422,
  message: `ListOptions.meta.k8s.io "" is invalid: ${problems.length > 1 ? `[${problems.join(", ")}]` : problems.join("")}`,
});

/** The rows of upstream's validation of a list, each by its own condition. */
function listProblems(q: Readonly<Record<string, string>>): readonly string[] {
  const { resourceVersion: version, resourceVersionMatch: match } = q;
  const rows: (readonly [boolean, string])[] = [
    [
      match !== undefined && !version,
      `${FIELD}: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided`,
    ],
    [
      match !== undefined && !!q["continue"],
      `${FIELD}: Forbidden: resourceVersionMatch is forbidden when continue is provided`,
    ],
    [match === "Newest", `${FIELD}: Unsupported value: "Newest": supported values: "Exact", "NotOlderThan", ""`],
    [
      match === "Exact" && version === "0",
      `${FIELD}: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"`,
    ],
    [q["sendInitialEvents"] !== undefined, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"],
  ];
  return rows.filter(([holds]) => holds).map(([, text]) => text);
}

/** The tables "resourceVersion and resourceVersionMatch" of upstream's API Concepts, and of storage.ValidateListOptions. */
function listMeaning(q: Readonly<Record<string, string>>): object {
  const problems = listProblems(q);
  if (problems.length > 0) return invalid(problems);
  const limit = Number(q["limit"] ?? "0");
  const { resourceVersion: version, resourceVersionMatch: match } = q;
  if (q["continue"]) {
    if (version === "100")
      return { refused: 400, message: "specifying resource version is not allowed when using continue" };
    return { source: { from: "continue", token: { revision: 50, start: "shop/b\0" } }, limit };
  }
  if (!version) return { source: { from: "current" }, limit };
  if (version === "0") return { source: { from: "any" }, limit };
  const isExact = match === "Exact" || (match === undefined && limit > 0);
  return { source: { from: isExact ? "exact" : "notOlderThan", revision: 100 }, limit };
}

test("every mix of a list means what upstream's table says, or is refused in its words", () => {
  let tried = 0;
  for (const asked of mixes(MIX)) {
    expect(answer(listOptionsOf, asked), JSON.stringify(asked)).toEqual(listMeaning(asked));
    tried++;
  }
  expect(tried).toBe(3 * 4 * 3 * 2 * 3 * 2);
});

function watchProblems(q: Readonly<Record<string, string>>): readonly string[] {
  const { resourceVersionMatch: match, sendInitialEvents: initial } = q;
  const rows: (readonly [boolean, string])[] = [
    [
      initial !== undefined && match !== "NotOlderThan",
      `${FIELD}: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan`,
    ],
    [
      match !== undefined && initial === undefined,
      `${FIELD}: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided`,
    ],
    [
      match !== undefined && match !== "NotOlderThan",
      `${FIELD}: Unsupported value: "${match}": supported values: "NotOlderThan"`,
    ],
    [
      match !== undefined && !!q["continue"],
      `${FIELD}: Forbidden: resourceVersionMatch is forbidden when continue is provided`,
    ],
  ];
  return rows.filter(([holds]) => holds).map(([, text]) => text);
}

test("every mix of a watch means what upstream says, or is refused in its words", () => {
  for (const asked of mixes(MIX)) {
    const problems = watchProblems(asked);
    const { resourceVersion: version, sendInitialEvents: initial } = asked;
    const meaning = {
      revision: version === undefined ? undefined : Number(version),
      sendInitialEvents: initial === undefined ? undefined : initial === "true",
      allowBookmarks: asked["allowWatchBookmarks"] === "true",
      timeoutSeconds: undefined,
    };
    const wanted = problems.length > 0 ? invalid(problems) : meaning;
    expect(answer(watchOptionsOf, asked), JSON.stringify(asked)).toEqual(wanted);
  }
});

describe("values", () => {
  test.each([
    ["abc", "invalid syntax"],
    ["-1", "invalid syntax"],
    ["1.5", "invalid syntax"],
    ["99999999999999999999", "value out of range"],
  ])("resourceVersion=%s is refused as Go's parser says it", (text, why) => {
    const message = `invalid resource version: resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": ${why}`;
    for (const read of [listOptionsOf, watchOptionsOf])
      expect(answer(read, { resourceVersion: text })).toEqual({ refused: 400, message });
    expect(() => parseResourceVersion(text)).toThrow(message);
  });

  test.each([
    ["timeoutSeconds", "60", 60],
    ["timeoutSeconds", "0", undefined],
    ["timeoutSeconds", "-5", undefined],
  ])("a watch with %s=%s lasts %s s", (name, text, timeoutSeconds) => {
    expect(answer(watchOptionsOf, { [name]: text })).toMatchObject({ timeoutSeconds });
  });

  test("numbers that are none are refused", () => {
    const message = 'strconv.ParseInt: parsing "many": invalid syntax';
    expect(answer(listOptionsOf, { limit: "many" })).toEqual({ refused: 400, message });
    expect(answer(watchOptionsOf, { timeoutSeconds: "many" })).toEqual({ refused: 400, message });
    expect(answer(listOptionsOf, { limit: "-3" })).toMatchObject({ limit: 0 });
  });

  const coded = (token: unknown): string => Buffer.from(JSON.stringify(token)).toString("base64url");
  test.each([
    [coded({ v: "meta.k8s.io/v1", start: "b" }), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"],
    [coded({ v: "meta.k8s.io/v1", rv: 5 }), "encoded start key empty (version meta.k8s.io/v1)"],
    [
      coded({ v: "meta.k8s.io/v2", rv: 5, start: "b" }),
      "server does not recognize this encoded version meta.k8s.io/v2",
    ],
    [coded({ v: "meta.k8s.io/v1", rv: 5, start: "../secrets/b" }), "../secrets/b"],
    ["a+b", "illegal base64 data at input byte 1"],
  ])("continue=%s is refused", (token, why) => {
    const message = `invalid continue token: continue key is not valid: ${why}`;
    expect(answer(listOptionsOf, { continue: token })).toEqual({ refused: 400, message });
  });

  test("a token without a revision that holds goes on at the newest", () => {
    const token = coded({ v: "meta.k8s.io/v1", rv: -1, start: "shop/b\0" });
    expect(answer(listOptionsOf, { continue: token })).toMatchObject({ source: { token: { revision: "latest" } } });
  });
});
