/** Names that Kubernetes would have made: no vowels, no digits that look like letters. */
import type { Random } from "@pilothouse/clock";

const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** What `generateName` gets appended. */
export function nameSuffix(random: Random, length = 5): string {
  let suffix = "";
  while (suffix.length < length) suffix += ALPHABET[Math.floor(random.next() * ALPHABET.length)] as string;
  return suffix;
}

/** The suffix for names that follow from contents: FNV-1a of the text, written in that alphabet. */
export function hashSuffix(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return Array.from(String(hash), (digit) => ALPHABET[digit.charCodeAt(0) % ALPHABET.length]).join("");
}
