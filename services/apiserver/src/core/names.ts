/** Generated names. */
import type { Random } from "@pilothouse/clock";

/** Upstream's alphabet: no vowels, so that no words appear, and nothing that looks like something else. */
const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH = 5;
const MAX_NAME = 63;

export function randomSuffix(random: Random, length = SUFFIX_LENGTH): string {
  let suffix = "";
  while (suffix.length < length) suffix += ALPHABET.charAt(Math.floor(random.next() * ALPHABET.length));
  return suffix;
}

/** `base` (cut so that the name stays a label) and five random characters. */
export function generatedName(base: string, random: Random): string {
  return `${base.slice(0, MAX_NAME - SUFFIX_LENGTH)}${randomSuffix(random)}`;
}
