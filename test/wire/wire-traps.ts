/**
 * Which wire trap waits for what. Every other has a test whose title begins `wire trap <number>`; wire-traps.test.ts holds that
 * each of the sixty is in one place or the other.
 */
export const TRAPS = 60;

/** What no part of the product is there for yet. */
export const WAITING: Readonly<Record<number, string>> = {
  56: "no requests are handed on to aggregated servers; reviews of tokens and of access are served",
};

/** Of a row that is tested, what is not. */
export const WAITING_PART: Readonly<Record<number, string>> = {
  58: "upstream's own scheduler, which no registry at hand carries",
};
