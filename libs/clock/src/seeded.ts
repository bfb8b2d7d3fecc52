/** Chance from a seed: the same seed gives the same numbers and ids, on any machine. */
import type { Ids, Random } from "./index.ts";

/** A stream of sfc32 numbers; good enough for tie-breaks, jitter and simulations, not for keys. */
export function seededRandom(seed: string): Random {
  let [a, b, c, d] = hash128(seed);
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 12; i++) next();
  return { next, fork: (name) => seededRandom(`${seed}/${name}`) };
}

/** UUIDs drawn from a random stream. */
export function seededIds(random: Random): Ids {
  const hex = (digits: number): string => {
    let out = "";
    while (out.length < digits) out += Math.floor(random.next() * 16).toString(16);
    return out;
  };
  const variant = (): string => "89ab"[Math.floor(random.next() * 4)] as string;
  return { uuid: () => `${hex(8)}-${hex(4)}-4${hex(3)}-${variant()}${hex(3)}-${hex(12)}` };
}

/** FNV-1a over the text with four different starts: spreads similar seeds far apart. */
function hash128(text: string): [number, number, number, number] {
  const starts = [0x811c9dc5, 0x9e3779b9, 0x85ebca6b, 0xc2b2ae35] as const;
  return starts.map((start) => {
    let h = start | 0;
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    return Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  }) as [number, number, number, number];
}
