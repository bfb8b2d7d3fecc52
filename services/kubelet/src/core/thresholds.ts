/** From the owner's words to eviction thresholds, in the syntax of upstream's kubelet, and when a soft one counts. Pure. */
import { parseQuantity } from "@pilothouse/quantity";
import { HARD_THRESHOLDS, PRESSURE_TRANSITION_MS, type Shortage, type Signal, type Threshold } from "./eviction.ts";

export interface EvictionSettings {
  readonly thresholds: readonly Threshold[];
  /** The most time that a pod gets to end for a soft threshold's sake; a hard one gives none. */
  readonly maxPodGraceSeconds: number;
  /** How long after the last sign of it a pressure is still told. */
  readonly transitionMs: number;
}

export const DEFAULT_EVICTION: EvictionSettings = {
  thresholds: HARD_THRESHOLDS,
  maxPodGraceSeconds: 0,
  transitionMs: PRESSURE_TRANSITION_MS,
};

const SIGNALS: readonly Signal[] = [
  "memory.available",
  "nodefs.available",
  "nodefs.inodesFree",
  "imagefs.available",
  "imagefs.inodesFree",
  "pid.available",
];

/**
 * `hard` and `soft` are lists of `memory.available<100Mi` or `nodefs.available<10%`, `grace` says of each soft one how long it must
 * last: `memory.available=1m30s`. An empty `hard` is upstream's defaults. Throws a RangeError that quotes what is not understood.
 */
export function parseThresholds(
  hard: readonly string[],
  soft: readonly string[],
  grace: readonly string[],
): readonly Threshold[] {
  const graces = new Map(
    grace.map((text): [string, number] => {
      const [, signal = "", duration = ""] = /^([^=]+)=(.+)$/.exec(text) ?? [];
      const ms = durationMs(duration);
      if (!SIGNALS.includes(signal as Signal) || ms === undefined)
        throw new RangeError(`${JSON.stringify(text)} is not a signal and a duration (memory.available=1m30s)`);
      return [signal, ms];
    }),
  );
  const softer = soft.map((text): Threshold => {
    const threshold = parseThreshold(text);
    const graceMs = graces.get(threshold.signal);
    if (graceMs === undefined)
      throw new RangeError(`grace period must be specified for the soft eviction threshold ${threshold.signal}`);
    return { ...threshold, graceMs };
  });
  const harder = hard.length === 0 ? HARD_THRESHOLDS : hard.map(parseThreshold);
  // Memory first, whatever was written first: it hurts soonest. Of one signal the hard one.
  return [...harder, ...softer].toSorted((a, b) => SIGNALS.indexOf(a.signal) - SIGNALS.indexOf(b.signal));
}

function parseThreshold(text: string): Threshold {
  const [, signal = "", amount = ""] = /^([^<]+)<(.+)$/.exec(text) ?? [];
  const share = /^(\d+(?:\.\d+)?)%$/.exec(amount)?.[1];
  try {
    if (SIGNALS.includes(signal as Signal)) {
      const least =
        share === undefined ? { bytes: Number(parseQuantity(amount).value()) } : { share: Number(share) / 100 };
      return { signal: signal as Signal, least };
    }
  } catch {
    // Said below, with the words that were not understood.
  }
  throw new RangeError(
    `${JSON.stringify(text)} is not a threshold: a signal of ${SIGNALS.join(", ")}, <, and an amount`,
  );
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `1m30s`; undefined for what is no duration. */
function durationMs(text: string): number | undefined {
  if (!/^(\d+(ms|s|m|h))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+)(ms|s|m|h)/g)];
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS_MS[unit ?? ""] ?? 0), 0);
}

/**
 * Of what runs short, what has for long enough. `since` is when each soft threshold was first crossed, and is brought up to date: one
 * that is crossed no longer begins anew.
 */
export function thresholdsMet(
  short: readonly Shortage[],
  since: Map<Threshold, number>,
  nowMs: number,
): readonly Shortage[] {
  const crossed = new Set(short.map(({ threshold }) => threshold));
  for (const threshold of since.keys()) if (!crossed.has(threshold)) since.delete(threshold);
  for (const threshold of crossed) if (!since.has(threshold)) since.set(threshold, nowMs);
  return short.filter(({ threshold }) => nowMs - (since.get(threshold) ?? nowMs) >= (threshold.graceMs ?? 0));
}

/** What a pod gets to end in order: nothing for a hard threshold, else its own grace, up to the owner's most. */
export function graceFor({ threshold }: Shortage, podGraceSeconds: number, maxPodGraceSeconds: number): number {
  return threshold.graceMs === undefined ? 0 : Math.min(podGraceSeconds, maxPodGraceSeconds);
}

/** What hard thresholds keep free is promised to no pod. */
export function keptFree(
  thresholds: readonly Threshold[],
  { memoryBytes, diskBytes }: { readonly memoryBytes: number; readonly diskBytes: number },
): { readonly memoryBytes: number; readonly diskBytes: number } {
  const least = (signal: Signal, capacity: number): number => {
    const found = thresholds.find((it) => it.signal === signal && it.graceMs === undefined)?.least;
    return found === undefined ? 0 : "bytes" in found ? found.bytes : found.share * capacity;
  };
  return { memoryBytes: least("memory.available", memoryBytes), diskBytes: least("nodefs.available", diskBytes) };
}
