import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TRAPS, WAITING, WAITING_PART } from "./wire-traps.ts";

/** The numbers in the titles of the tests in this folder and in that of the story. */
function tested(): Set<number> {
  const folders = [import.meta.dirname, join(import.meta.dirname, "../e2e")];
  const files = folders.flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith(".ts"))
      .map((file) => join(folder, file)),
  );
  const titles = files.flatMap((file) => [...readFileSync(file, "utf8").matchAll(/"wire trap (\d+): /g)]);
  return new Set(titles.map(([, number]) => Number(number)));
}

test("each wire trap is either tested or waits for something", () => {
  const found = tested();
  const numbers = Array.from({ length: TRAPS }, (_, i) => i + 1);
  expect(numbers.filter((number) => !found.has(number) && WAITING[number] === undefined)).toEqual([]);
  expect(numbers.filter((number) => found.has(number) && WAITING[number] !== undefined)).toEqual([]);
  expect(Object.keys(WAITING_PART).filter((number) => !found.has(Number(number)))).toEqual([]);
  expect(Math.max(...found)).toBeLessThanOrEqual(TRAPS);
});
