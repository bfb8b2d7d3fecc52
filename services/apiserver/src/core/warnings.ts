/** `Warning:` headers, as upstream writes them (wire trap 35). Pure. */

const MAX_RUNES = 4 * 1024;
const MAX_RUNES_EACH = 256;

/**
 * `299 - "text"` for each, quotes and backslashes escaped, UTF-8 as header bytes. Beyond 4,096 characters in all, each is cut
 * to 256, and those after the limit are left out: clients bound the headers that they read.
 */
export function warningHeaders(texts: readonly string[]): readonly string[] {
  const sayable = texts.filter((text) => !/\p{Cc}/u.test(text));
  const fits = sayable.reduce((sum, text) => sum + runesOf(text).length, 0) <= MAX_RUNES;
  return (fits ? sayable : cut(sayable)).map(header);
}

function cut(texts: readonly string[]): string[] {
  const kept: string[] = [];
  let written = 0;
  for (const text of texts) {
    if (written >= MAX_RUNES) break;
    const runes = runesOf(text).slice(0, MAX_RUNES_EACH);
    written += runes.length;
    kept.push(runes.join(""));
  }
  return kept;
}

function header(text: string): string {
  const bytes = Buffer.from(text.replace(/[\\"]/g, "\\$&"), "utf8");
  return `299 - "${bytes.toString("latin1")}"`;
}

function runesOf(text: string): string[] {
  return Array.from(text);
}
