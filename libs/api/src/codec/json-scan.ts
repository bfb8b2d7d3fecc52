/**
 * A strict reader of JSON text for the two things `JSON.parse` does not tell: which keys occur twice, and what is wrong in
 * the words that Kubernetes users know (Go's). Runs only when one of them is asked for.
 */
import { DecodeError, MAX_DEPTH, MAX_STRICT_PROBLEMS } from "./limits.ts";

/**
 * The paths of keys that occur more than once in their object, e.g. `spec.containers[0].image`: the first MAX_STRICT_PROBLEMS, since
 * each costs its path's length. `text` has been parsed: it is JSON.
 */
export function duplicateKeys(text: string): readonly string[] {
  const scanner = new Scanner(text, true);
  scanner.document();
  return [...scanner.duplicates];
}

/** Go's error text for JSON that cannot be parsed. */
export function syntaxErrorText(text: string): string {
  try {
    new Scanner(text, false).document();
    return "invalid JSON";
  } catch (error) {
    return error instanceof DecodeError ? error.message : "invalid JSON";
  }
}

/** What one pass over the bytes shows, whether they are JSON or not. */
export interface JsonScan {
  /** Brackets nest deeper than MAX_DEPTH: the pass ended there. */
  readonly isTooDeep: boolean;
  /** Colons outside of strings: in JSON, one for each member that an object was given. */
  readonly members: number;
  /** Numbers that may be too long for a double: where they begin and end. */
  readonly longNumbers: readonly (readonly [start: number, end: number])[];
}

export function scanJson(bytes: Uint8Array): JsonScan {
  const longNumbers: [number, number][] = [];
  let depth = 0;
  let members = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      // Strings are most of what comes: they are leapt over.
      at = bytes.indexOf(QUOTE, at + 1);
      while (at >= 0 && isEscaped(bytes, at)) at = bytes.indexOf(QUOTE, at + 1);
      if (at < 0) break;
    } else if (byte === COLON) members++;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (++depth > MAX_DEPTH) return { isTooDeep: true, members, longNumbers };
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--;
    else if (isOfNumber(byte)) {
      const start = at;
      while (at + 1 < bytes.length && isOfNumber(bytes[at + 1] as number)) at++;
      if (at + 1 - start > EXACT_DIGITS) longNumbers.push([start, at + 1]);
    }
  }
  return { isTooDeep: false, members, longNumbers };
}

export function isTooDeep(bytes: Uint8Array): boolean {
  return scanJson(bytes).isTooDeep;
}

/** A digit, or what else a number is written with: `-`, `+`, `.`, `e`, `E`. */
function isOfNumber(byte: number): boolean {
  if (byte >= 0x30 && byte <= 0x39) return true;
  return byte === 0x2d || byte === 0x2e || byte === 0x2b || byte === 0x65 || byte === 0x45;
}

/** A double holds every integer of so many digits. */
const EXACT_DIGITS = 15;

/** Whether an odd number of backslashes stands before `at`. */
function isEscaped(bytes: Uint8Array, at: number): boolean {
  let start = at;
  while (bytes[start - 1] === BACKSLASH) start--;
  return (at - start) % 2 === 1;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

class Scanner {
  readonly duplicates = new Set<string>();
  readonly #text: string;
  /** Known to be JSON: strings are leapt over instead of read. */
  readonly #isParsed: boolean;
  /** Where the scanner is in the tree: keys and indexes from the root. */
  readonly #steps: (string | number)[] = [];
  #at = 0;

  constructor(text: string, isParsed: boolean) {
    this.#text = text;
    this.#isParsed = isParsed;
  }

  document(): void {
    this.#value();
    if (this.#next() !== "") this.#fail("after top-level value");
  }

  #value(): void {
    if (this.#steps.length > MAX_DEPTH) throw new DecodeError("exceeded max depth");
    const first = this.#next();
    if (first === "{") this.#object();
    else if (first === "[") this.#array();
    else if (first === '"') this.#string();
    else if (first === "t") this.#literal("true");
    else if (first === "f") this.#literal("false");
    else if (first === "n") this.#literal("null");
    else if (first === "-" || isDigit(first)) this.#number();
    else this.#fail("looking for beginning of value");
  }

  #object(): void {
    const seen = new Set<string>();
    this.#at++;
    if (this.#take("}")) return;
    for (;;) {
      if (this.#next() !== '"') this.#fail("looking for beginning of object key string");
      const key = this.#string();
      this.#steps.push(key);
      if (seen.has(key) && this.duplicates.size < MAX_STRICT_PROBLEMS) this.duplicates.add(this.#path());
      seen.add(key);
      if (!this.#take(":")) this.#fail("after object key");
      this.#value();
      this.#steps.pop();
      if (this.#take("}")) return;
      if (!this.#take(",")) this.#fail("after object key:value pair");
    }
  }

  #array(): void {
    this.#at++;
    if (this.#take("]")) return;
    for (let index = 0; ; index++) {
      this.#steps.push(index);
      this.#value();
      this.#steps.pop();
      if (this.#take("]")) return;
      if (!this.#take(",")) this.#fail("after array element");
    }
  }

  #path(): string {
    let path = "";
    for (const step of this.#steps) {
      if (typeof step === "number") path += `[${step}]`;
      else path += path === "" ? step : `.${step}`;
    }
    return path;
  }

  #string(): string {
    const start = ++this.#at;
    if (this.#isParsed) this.#leapOverString();
    else this.#readString();
    const inner = this.#text.slice(start, this.#at++);
    return inner.includes("\\") ? (JSON.parse(`"${inner}"`) as string) : inner;
  }

  /** To its closing quote. */
  #readString(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === QUOTE) return;
      if (code === BACKSLASH) this.#escape();
      else if (code >= 0x20) this.#at++;
      else this.#fail("in string literal"); // a control character, or NaN at the end
    }
  }

  #leapOverString(): void {
    const text = this.#text;
    for (let end = text.indexOf('"', this.#at); ; end = text.indexOf('"', end + 1)) {
      let start = end;
      while (text.charCodeAt(start - 1) === BACKSLASH) start--;
      if ((end - start) % 2 === 1) continue;
      this.#at = end;
      return;
    }
  }

  #escape(): void {
    this.#at++;
    const char = this.#here();
    if (!'"\\/bfnrtu'.includes(char) || char === "") this.#fail("in string escape code");
    this.#at++;
    if (char !== "u") return;
    for (let digit = 0; digit < 4; digit++) {
      if (!/[0-9a-fA-F]/.test(this.#here())) this.#fail("in \\u hexadecimal character escape");
      this.#at++;
    }
  }

  #literal(word: string): void {
    for (let index = 0; index < word.length; index++) {
      const expected = word.charAt(index);
      if (this.#here() !== expected) this.#fail(`in literal ${word} (expecting '${expected}')`);
      this.#at++;
    }
  }

  #number(): void {
    if (this.#here() === "-") this.#at++;
    if (this.#here() === "0") this.#at++;
    else this.#digits("in numeric literal");
    if (this.#here() === ".") {
      this.#at++;
      this.#digits("after decimal point in numeric literal");
    }
    if (this.#here() === "e" || this.#here() === "E") {
      this.#at++;
      if (this.#here() === "+" || this.#here() === "-") this.#at++;
      this.#digits("in exponent of numeric literal");
    }
  }

  #digits(where: string): void {
    if (!isDigit(this.#here())) this.#fail(where);
    while (isDigit(this.#here())) this.#at++;
  }

  /** Skips white space; "" at the end. */
  #next(): string {
    while (" \t\n\r".includes(this.#here()) && this.#here() !== "") this.#at++;
    return this.#here();
  }

  #take(char: string): boolean {
    if (this.#next() !== char) return false;
    this.#at++;
    return true;
  }

  #here(): string {
    return this.#text.charAt(this.#at);
  }

  #fail(where: string): never {
    const char = this.#here();
    if (char === "") throw new DecodeError("unexpected end of JSON input");
    const shown = char === "'" ? "'\\''" : char === '"' ? "'\"'" : `'${JSON.stringify(char).slice(1, -1)}'`;
    throw new DecodeError(`invalid character ${shown} ${where}`);
  }
}

function isDigit(char: string): boolean {
  return char >= "0" && char <= "9" && char !== "";
}
