import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { kinds, views } from "./index.ts";
import { kindsDoc } from "./kinds-doc.ts";

const FILE = new URL("../../../docs/kinds.md", import.meta.url);

/** `UPDATE_DOCS=1` writes the page anew. */
test("docs/kinds.md says what the definitions say", () => {
  const text = kindsDoc(kinds, views);
  if (process.env["UPDATE_DOCS"] === "1") writeFileSync(FILE, text);
  expect(readFileSync(FILE, "utf8")).toBe(text);
});
