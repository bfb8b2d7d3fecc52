import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { errorsPage } from "./errors.ts";

test("docs/errors.md is the catalogue (UPDATE_DOCS=1 rewrites it)", () => {
  const page = new URL("../../docs/errors.md", import.meta.url);
  if (process.env["UPDATE_DOCS"]) writeFileSync(page, errorsPage());
  expect(readFileSync(page, "utf8")).toBe(errorsPage());
});
