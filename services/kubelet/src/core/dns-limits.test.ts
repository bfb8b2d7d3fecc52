import * as fc from "fast-check";
import { expect, test } from "vitest";
import { fittingSearches, fittingServers } from "./dns-limits.ts";

test("three name servers, and the rest is said to be missing", () => {
  expect(fittingServers(["a", "b", "c"])).toEqual({ kept: ["a", "b", "c"], warning: undefined });
  expect(fittingServers(["a", "b", "c", "d"])).toEqual({
    kept: ["a", "b", "c"],
    warning:
      "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: a b c",
  });
});

test("a domain that resolvers would fall over is left out, those after it are not", () => {
  const { kept, warning } = fittingSearches(["a", "x".repeat(254), "b"]);
  expect(kept).toEqual(["a", "b"]);
  expect(warning).toBe(
    "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: a b",
  );
});

test("whatever is asked for, the first domains that fit into the limits are kept, and no fewer", () => {
  const domain = fc.integer({ min: 1, max: 253 }).map((length) => "d".repeat(length));
  fc.assert(
    fc.property(fc.array(domain, { maxLength: 40 }), (searches) => {
      const { kept, warning } = fittingSearches(searches);
      expect(kept).toEqual(searches.slice(0, kept.length));
      expect(kept.join(" ").length).toBeLessThanOrEqual(2048);
      const next = searches.slice(0, kept.length + 1);
      if (kept.length === searches.length) expect(warning).toBeUndefined();
      else expect(next.length > 32 || next.join(" ").length > 2048).toBe(true);
    }),
  );
});
