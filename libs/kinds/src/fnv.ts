/** FNV-1a over UTF-8: tells texts apart, in names and in what is compared with itself. It keeps no secret. */

const PRIME_32 = 0x01000193;
const OFFSET_32 = 0x811c9dc5;
const PRIME_128 = 0x0000000001000000000000000000013bn;
const OFFSET_128 = 0x6c62272e07bb014262b821756295c58dn;

/** An unsigned integer of 32 bits. */
export function fnv32(text: string): number {
  let hash = OFFSET_32;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, PRIME_32) >>> 0;
  return hash;
}

/** 32 hex digits. */
export function fnv128Hex(text: string): string {
  let hash = OFFSET_128;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(128, (hash ^ BigInt(byte)) * PRIME_128);
  return hash.toString(16).padStart(32, "0");
}
