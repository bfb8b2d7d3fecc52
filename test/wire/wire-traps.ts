/**
 * Which wire trap waits for what. Every other has a test whose title begins `wire trap <number>`; wire-traps.test.ts holds that
 * each of the sixty is in one place or the other.
 */
export const TRAPS = 60;

/** What no part of the product is there for yet. */
export const WAITING: Readonly<Record<number, string>> = {
  31: "ephemeral containers are not served",
  47: "events.k8s.io/v1 and autoscaling/v1 are not served; both are second views of kinds that are",
  56: "no requests are handed on to aggregated servers; reviews of tokens and of access are served",
};

/** Of a row that is tested, what is not. */
export const WAITING_PART: Readonly<Record<number, string>> = {
  12: "refusals by disruption budgets, which are stored and not enforced",
  30: "kubectl debug, which needs ephemeral containers",
  54: "helm 4, which no registry at hand carries",
  58: "upstream's own scheduler, which no registry at hand carries",
};
