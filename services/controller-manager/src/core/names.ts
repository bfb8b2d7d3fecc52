/** Names that Kubernetes would have made: no vowels, no digits that look like letters. */
import type { Random } from "@pilothouse/clock";
import { fnv32 } from "@pilothouse/kinds/fnv";

const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** What `generateName` gets appended. */
export function nameSuffix(random: Random, length = 5): string {
  let suffix = "";
  while (suffix.length < length) suffix += ALPHABET[Math.floor(random.next() * ALPHABET.length)] as string;
  return suffix;
}

/** The suffix for names that follow from contents: a hash of the text, written in that alphabet. */
export function hashSuffix(text: string): string {
  return Array.from(String(fnv32(text)), (digit) => ALPHABET[digit.charCodeAt(0) % ALPHABET.length]).join("");
}
