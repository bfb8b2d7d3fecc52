import * as fc from "fast-check";
import { expect, test } from "vitest";
import { compareKeys } from "./keyspace.ts";

test("keys are ordered by their UTF-8 bytes", () => {
  const key = fc.string({ unit: "binary", maxLength: 4 });
  fc.assert(
    fc.property(key, key, (a, b) => {
      expect(Math.sign(compareKeys(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
});
