/** docs/compatibility.md names a test for what it says is there: it may not go on doing so when that test has gone. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";

const page = join(import.meta.dirname, "../../docs/compatibility.md");

interface Row {
  readonly feature: string;
  readonly state: string;
  readonly shownBy: string;
}

interface Reference {
  /** As the page has it, relative to docs/. */
  readonly link: string;
  readonly quotes: readonly string[];
}

/** The rows of all tables, without their heads. */
function rowsOf(text: string): readonly Row[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("|") && !/^\| (Feature|---) /.test(line))
    .map((line) => {
      const [, feature = "", state = "", ...rest] = line.split("|").map((cell) => cell.trim());
      return { feature, state, shownBy: rest.join("|") };
    });
}

/** Links, each with what is quoted between it and the next. */
function referencesOf(text: string): readonly Reference[] {
  return text.split("](").flatMap((piece, index) => {
    const link = /^([^)#]+)[^)]*\)/.exec(piece);
    if (index === 0 || !link?.[1]) return [];
    return [{ link: link[1], quotes: [...piece.matchAll(/"([^"]+)"/g)].map(([, quote = ""]) => quote) }];
  });
}

/** Where words are looked for: in the names of a file's behaviours, else in the file's text. */
async function wordsOf(link: string): Promise<string> {
  const path = join(dirname(page), link);
  if (!link.includes("/conformance/behaviours/")) return readFileSync(path, "utf8");
  const module = (await import(path)) as Readonly<Record<string, object>>;
  return Object.values(module)
    .filter((value) => typeof value === "object")
    .flatMap((behaviours) => Object.keys(behaviours))
    .join("\n");
}

/** What is wrong with a page, in words. */
async function faultsOf(text: string): Promise<readonly string[]> {
  const faults = rowsOf(text).flatMap(({ feature, state, shownBy }) => {
    if (!/^(yes|partly: .+|no(: .+)?)$/.test(state))
      return [`"${feature}" is neither yes, nor partly with a reason, nor no`];
    return state === "yes" && referencesOf(shownBy).length === 0
      ? [`"${feature}" is said to be there, and no test shows it`]
      : [];
  });
  for (const { link, quotes } of text.split("\n").flatMap(referencesOf)) {
    if (!existsSync(join(dirname(page), link))) {
      faults.push(`${link} does not exist`);
      continue;
    }
    const words = quotes.length === 0 ? "" : await wordsOf(link);
    faults.push(...quotes.filter((quote) => !words.includes(quote)).map((quote) => `${link} has no "${quote}"`));
  }
  return faults;
}

describe("docs/compatibility.md", () => {
  const text = readFileSync(page, "utf8");

  test("names tests that exist, and quotes what they say", async () => {
    expect(rowsOf(text).length).toBeGreaterThan(200);
    expect(await faultsOf(text)).toEqual([]);
  });

  test("would not get away with a test that is gone, words that are not there, or a yes without a test", async () => {
    const lint = "../test/lint/compatibility.test.ts";
    const services = "../test/conformance/behaviours/network/services.ts";
    const planted = [
      `| one | yes | [lint](${lint}) "names tests that exist"; [services](${services}) "should serve a basic endpoint from pods" |`,
      `| two | yes | [gone](../test/lint/gone.test.ts) "anything" |`,
      `| three | yes | [services](${services}) "should never be asked" |`,
      "| four | yes | — |",
      "| five | perhaps | — |",
      "| six | partly: half of it | — |",
    ];
    expect(await faultsOf(planted.join("\n"))).toEqual([
      '"four" is said to be there, and no test shows it',
      '"five" is neither yes, nor partly with a reason, nor no',
      "../test/lint/gone.test.ts does not exist",
      `${services} has no "should never be asked"`,
    ]);
  });
});
