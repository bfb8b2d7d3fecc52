/** What the fuzzer can be pointed at. Each target is one file under targets/, and one line in targets/index.ts. */
import type { Random } from "@pilothouse/clock";

/** One case, in parts that can be shortened one by one and written to a JSON file. Parts that are bytes have a character for each. */
export type Input = readonly string[];

export interface Target {
  readonly name: string;
  /** How many cases `npm test` tries: about ten seconds' worth, the same on every machine, so that what is red is red everywhere. */
  readonly casesInTests: number;
  /** What the parts of its inputs are, for reports. */
  readonly parts: readonly string[];
  /** Parts that only make sense whole: a kind's name, a method. */
  readonly fixed?: readonly number[];
  /** A case, a function of the random stream alone. */
  input(random: Random): Input;
  /** Throws when the property does not hold: whatever is thrown is the failure. */
  check(input: Input): void | Promise<void>;
}

export function bytesOf(part: string | undefined): Uint8Array {
  return Buffer.from(part ?? "", "latin1");
}

export function partOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

/** The bytes of a text in UTF-8, as a part. */
export function utf8PartOf(text: string): string {
  return partOf(Buffer.from(text));
}

type ErrorClass = abstract new (...args: never[]) => Error;

/** What `work` gives, or undefined if it refuses in one of the ways it may. */
export function resultOrRefusal<T>(refusals: readonly ErrorClass[], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (refusals.some((refusal) => error instanceof refusal)) return undefined;
    throw error;
  }
}

/** Compares by text, so that the first difference can be shown. */
export function expectSame(what: string, one: string | Uint8Array, other: string | Uint8Array): void {
  const [a, b] = [one, other].map((text) => (typeof text === "string" ? text : partOf(text))) as [string, string];
  if (a === b) return;
  let at = 0;
  while (a[at] === b[at]) at++;
  const shown = (text: string): string => JSON.stringify(text.slice(Math.max(0, at - 20), at + 40));
  throw new Error(`${what}: ${shown(a)} is not ${shown(b)}`);
}
