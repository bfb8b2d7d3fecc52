/** What a soak has to tell in a file small enough to be kept: minutes instead of requests, reigns instead of looks. Pure. */
import { buckets, type Bucket } from "../checkers/availability.ts";
import { reigns } from "./html.ts";
import type { SoakOutcome } from "./outcome.ts";
import type { Bar } from "./plot.ts";

const MINUTE_MS = 60_000;

export interface SoakSummary extends Omit<SoakOutcome, "samples" | "processes" | "leaders"> {
  /** By probe; a minute that nobody asked in is left out. */
  readonly minutes: Readonly<Record<string, readonly Bucket[]>>;
  readonly reigns: readonly Bar[];
}

export function summaryOf(outcome: SoakOutcome): SoakSummary {
  const { seed, begun, lastedMs, findings, figures, faults, samples, slopes, leaders } = outcome;
  const byProbe = [...Map.groupBy(samples, ({ probe }) => probe)];
  const minutes = byProbe.map(([probe, some]) => [probe, buckets(some, MINUTE_MS)] as const);
  const told = { seed, begun, lastedMs, findings, figures, faults, slopes };
  return { ...told, minutes: Object.fromEntries(minutes), reigns: reigns(leaders) };
}
