import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ARROWS, OFFERED_CORES, PACKAGES } from "./layers.ts";

const page = join(import.meta.dirname, "../../docs/ARCHITECTURE.md");
const BLOCK = /(<!-- arrows: [^>]* -->\n)[\s\S]*?(<!-- \/arrows -->)/;

function arrowsTable(): string {
  const named: Readonly<Record<string, readonly string[]>> = { ...PACKAGES, "offered-cores": OFFERED_CORES };
  const rows = Object.entries(ARROWS).map(([layer, { values, types }]) => {
    const names = named[layer] ?? [];
    const packages = names.length > 0 ? ` (${names.join(", ")})` : "";
    return `| ${layer}${packages} | ${values.join(", ") || "nothing"} | ${types.join(", ")} |`;
  });
  return `| Layer | May import | And types of |\n|---|---|---|\n${rows.join("\n")}\n`;
}

test("docs/ARCHITECTURE.md prints the arrows that the linter enforces", () => {
  const text = readFileSync(page, "utf8");
  const current = text.replace(BLOCK, (_all, head: string, tail: string) => `${head}${arrowsTable()}${tail}`);
  if (process.env["UPDATE_DOCS"]) writeFileSync(page, current);
  expect(readFileSync(page, "utf8")).toBe(current);
});

test("every file that docs/ARCHITECTURE.md links to exists", () => {
  const links = [...readFileSync(page, "utf8").matchAll(/\]\((\.\.\/[^)#]+)\)/g)].map((match) => match[1] as string);
  expect(links.length).toBeGreaterThan(15);
  expect(links.filter((link) => !existsSync(join(page, "..", link)))).toEqual([]);
});
