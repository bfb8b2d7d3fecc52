/** Whether those who asked were answered: in each stretch of time, and altogether outside of lost quorum. */
import type { Finding } from "../finding.ts";

/** One request of a probe, from its first try to its last. */
export interface Sample {
  /** Which probe: `api`, `service`, … */
  readonly probe: string;
  readonly atMs: number;
  readonly tookMs: number;
  readonly ok: boolean;
  readonly why?: string;
}

export interface Span {
  readonly fromMs: number;
  readonly untilMs: number;
}

export interface AvailabilityRule {
  readonly probe: string;
  /** 0.9995 is one in two thousand. */
  readonly leastShare: number;
  /** Stretches that do not count. */
  readonly excused: readonly Span[];
  /** For people: what does not count. */
  readonly excuse: string;
}

const EXAMPLES = 3;

export function judgeAvailability(samples: readonly Sample[], rules: readonly AvailabilityRule[]): Finding[] {
  return rules.flatMap(({ probe, leastShare, excused, excuse }) => {
    const counted = samples.filter((sample) => sample.probe === probe && !excused.some((span) => meets(sample, span)));
    const failed = counted.filter(({ ok }) => !ok);
    if (counted.length === 0) return [{ checker: "availability", message: `${probe}: nobody asked outside ${excuse}` }];
    if (counted.length - failed.length >= leastShare * counted.length) return [];
    const examples = failed.slice(0, EXAMPLES).map(({ atMs, why }) => `${(atMs / 1_000).toFixed(1)} s: ${why ?? ""}`);
    const share = `${failed.length} of ${counted.length} failed outside ${excuse}, ${percent(1 - leastShare)} are allowed`;
    return [{ checker: "availability", message: `${probe}: ${share}\n    ${examples.join("\n    ")}` }];
  });
}

export interface Bucket {
  readonly atMs: number;
  readonly asked: number;
  readonly failed: number;
  /** Of those that were answered; undefined where nobody was. */
  readonly medianMs: number | undefined;
  readonly worstMs: number | undefined;
}

/** Stretches of `widthMs`, those without a request left out. */
export function buckets(samples: readonly Sample[], widthMs: number): Bucket[] {
  const groups = Map.groupBy(samples, ({ atMs }) => Math.floor(atMs / widthMs));
  return [...groups]
    .sort(([one], [other]) => one - other)
    .map(([number, group]) => {
      const times = group.filter(({ ok }) => ok).map(({ tookMs }) => tookMs);
      times.sort((one, other) => one - other);
      return {
        atMs: number * widthMs,
        asked: group.length,
        failed: group.filter(({ ok }) => !ok).length,
        medianMs: times[times.length >> 1],
        worstMs: times.at(-1),
      };
    });
}

function meets({ atMs, tookMs }: Sample, { fromMs, untilMs }: Span): boolean {
  return atMs < untilMs && atMs + tookMs > fromMs;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(3))} %`;
}
